"""The command line: thin, each command one call, every refusal one sentence."""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help="From a question to an A/B-tested model, in six notebooks.")

Database = Annotated[str, typer.Option(envvar="ML_WORKFLOW_DATABASE", help="The decisions database.")]
Parameters = Annotated[list[str] | None, typer.Option("-p", "--parameter", help="name=value for every notebook that has it, or 03_poc.name=value for one.")]


def usual_task() -> str:
    """The task that is meant when none is given: the default of 00_define."""
    from .run.notebooks import parameters

    return str(parameters("00_define")["task"].default)


@app.command()
def run(
    task: Annotated[str, typer.Argument(default_factory=usual_task, show_default="the one that 00_define names", help="A name in tasks/, the path of a task file, or a table with --target.")],
    target: Annotated[str | None, typer.Option(help="The column to predict: drafts a task for the table first.")] = None,
    query: Annotated[str | None, typer.Option(help="The rows, where the table is a database.")] = None,
    parameter: Parameters = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", help="YAML file with parameters.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Run this stage and all after it anew.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="The last stage to run.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Reuse nothing from earlier runs.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Go on past a stage that says stop.")] = False,
    kernels: Annotated[str, typer.Option(help="auto, warm or stock Jupyter kernels.")] = "auto",
) -> None:
    """Take a task through the six notebooks, with a gate after each."""
    from .run.kernels import kernels as opened
    from .run.notebooks import checked, from_file, pairs, stage_named
    from .store.files import root

    given = checked({**(from_file(file) if file else {}), **pairs(parameter or [])})
    until, from_ = stage_named(until or "05_abtest"), stage_named(from_) if from_ else None
    if kernels not in ("auto", "warm", "stock"):
        raise refusal(f"--kernels is {kernels!r}: give auto, warm or stock.")
    if target:
        task = drafted(task, target, query)
    os.chdir(root())
    check_writable()
    with opened(kernels) as pool:  # type: ignore[arg-type]  # the warm parent imports its libraries while the task is checked
        from .run.chain import Plan
        from .run.chain import run as chain
        from .run.check import check_task
        from .run.pages import usual_seconds

        found, _ = check_task(task)
        screen = Screen(found.question, usual_seconds(found.name))
        try:
            record = chain(Plan(task, given, until, "00_define" if fresh else from_, force, found.name), pool, screen)
        finally:
            screen.close()
    screen.table(record)
    raise typer.Exit(3 if record["outcome"] == "stop" else 0)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="The YAML file of the sweep, such as sweeps/penguins.yaml.")],
    jobs: Annotated[int, typer.Option(min=1, help="Variants that run at the same time.")] = os.cpu_count() or 1,
    scheduler: Annotated[str, typer.Option(help="A Dask scheduler, tcp://…, whose workers share this folder.")] = "",
) -> None:
    """Run every variant of a grid of parameters. What they share runs once."""
    from .run.sweep import read_sweep
    from .run.sweep import sweep as run_variants
    from .store.run import reports

    asked = read_sweep(file)
    check_writable()
    with Course(len(asked.variants)) as course:
        records = run_variants(asked, jobs, scheduler, course)
    failed = [s for r in records for s in r["stages"] if s["status"] == "failed"]
    print(f"{len(records) - len(failed)} of {len(records)} variants ended without a fault. Compare them in {reports() / 'index.html'}")
    raise typer.Exit(0 if not failed else 2 if all(s["refused"] for s in failed) else 1)


@app.command()
def runs(
    prune: Annotated[bool, typer.Option("--prune", help="Remove old runs, after asking.")] = False,
    keep: Annotated[int, typer.Option(min=0, help="With --prune: keep this many of the newest.")] = 20,
    days: Annotated[float, typer.Option(min=0, help="With --prune: keep those younger than this many days.")] = 7,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: do not ask.")] = False,
) -> None:
    """List the runs with outcome and size. With --prune, old ones are removed."""
    from datetime import timedelta

    from .run.keep import listed, old, remove

    found = listed()
    for run in found:
        print(f"{run.run:<44} {run.task:<12} {run.outcome:<16} {run.net_value:>16} {run.size / 1e6:>9.1f} MB  {age(run.age):>8} old")
    print(f"{len(found)} runs, {sum(run.size for run in found) / 1e6:,.1f} MB; files that runs share count once, for the newest.")
    if prune:
        going = old(found, keep, timedelta(days=days))
        if not going:
            print(f"Nothing to remove: the newest {keep}, those younger than {days:g} days and the latest are kept.")
        elif yes or typer.confirm(f"Remove {len(going)} runs, from {going[-1].run} to {going[0].run}?"):
            remove(going)
            print(f"Removed {len(going)} runs; {sum(run.size for run in listed()) / 1e6:,.1f} MB are left.")


def age(span: Any) -> str:
    """A time span as people say it."""
    minutes = int(span.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} d"


@app.command()
def check(
    task: Annotated[str, typer.Argument(default_factory=usual_task, show_default="the one that 00_define names", help="A name in tasks/, or the path of a task file.")],
    table: Annotated[str | None, typer.Option(help="A new table, held against the contract of the task's newest run.")] = None,
    query: Annotated[str | None, typer.Option(help="The rows, where the table is a database.")] = None,
    quarantine: Annotated[Path | None, typer.Option(help="With --table: put the rows that break the contract into this file, with the reason.")] = None,
) -> None:
    """Is a task complete, do its sources answer? With --table: does a new table keep the contract? Runs nothing."""
    from .define import checklist
    from .run.check import check_task

    if table:
        return held_against(task, table, query, quarantine)
    found, counts = check_task(task)
    print(f"{found.name}: {found.question}")
    print(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    for item in checklist(found).to_dict("records"):
        print(f"  {item['item']}: " + ("yes" if item["there"] == "yes" else f"missing, so {item['if missing']}"))


def held_against(task: str, table: str, query: str | None, quarantine: Path | None) -> None:
    """Say every fault of a table at once; refuse it, or put its bad rows aside."""
    from .run.check import check_table, put_aside

    found, good, bad = check_table(task, table, query)
    for fault in found.to_dict("records"):
        print(f"  {fault['column']} {fault['rule']}: broken in {fault['rows']:,} rows" + (f", such as {fault['for example']}" if fault["for example"] else ""))
    if len(bad) and not quarantine:
        raise refusal(f"{len(bad):,} of {len(good) + len(bad):,} rows break the contract: mend the table, or put these rows aside by --quarantine FILE.")
    if len(bad) and quarantine:
        put_aside(quarantine, bad)
        print(f"{len(bad):,} rows with their reasons are in {quarantine}.")
    print(f"{len(good):,} of {len(good) + len(bad):,} rows keep the contract.")


@app.command(name="task")
def draft_task(
    table: Annotated[str, typer.Argument(help="A file, a folder of files, or a database URL.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    query: Annotated[str | None, typer.Option(help="The rows, where the table is a database.")] = None,
) -> None:
    """Draft tasks/<name>.yaml from a table. Each guess stands there with its reason; nothing is run."""
    drafted(table, target, query)


def drafted(table: str, target: str, query: str | None) -> str:
    """Draft a task, say each guess, and give the task's name."""
    from .run.draft import write_draft
    from .store.files import name_of

    place, guesses, task = write_draft(table, target, query)
    print(f"Drafted {name_of(place)}; correct what is guessed wrongly:")
    say_guesses(guesses)
    return task.name


def say_guesses(guesses: dict[str, Any]) -> None:
    """Each guess of a draft with its reason."""
    for key, guess in guesses.items():
        print(f"  {key}: {guess.value} ({guess.why})")


@app.command()
def new(
    place: Annotated[Path, typer.Argument(help="The folder of the new project, such as ../churn.")],
    name: Annotated[str, typer.Option(help="Its name, which its task gets too.")],
    data: Annotated[str, typer.Option(help="Its table: a file, a folder of files, or a database URL.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    query: Annotated[str | None, typer.Option(help="The rows, where the table is a database.")] = None,
) -> None:
    """Make a new repository from this template, with its own name, task and README, that takes later updates."""
    from .run.new import new as make

    say_guesses(make(place, name, data, target, query))
    print(f"{place} is a repository with its first commit. Correct tasks/{name}.yaml there; `make run` and `make test` work as it is.")


@app.command()
def doctor() -> None:
    """What this machine lacks for the project, and how to get it. Exit status 3 when something is missing that is not for tests alone."""
    from .run.doctor import findings

    lacking = False
    for finding in findings():
        said = f"missing{', for tests only' if finding.for_tests else ''}: {finding.remedy}" if finding.remedy else "ok"
        print(f"{finding.name:<17} {finding.found}  {said}", flush=True)
        lacking = lacking or bool(finding.remedy and not finding.for_tests)
    raise typer.Exit(3 if lacking else 0)


@app.command(name="versions")
def versions_of(task: Annotated[str | None, typer.Argument(help="The name of a task; left out: all.")] = None) -> None:
    """List the registered releases: which one serves, from which run, with what figures, live since when."""
    from rich.console import Console
    from rich.table import Table

    from .serve.versions import table
    from .store.registry import tasks

    console = Console(width=None if sys.stdout.isatty() else 160)
    for name in [task] if task else tasks():
        rows = table(name)
        shown = Table(*rows.columns, title=name, title_justify="left", box=None, pad_edge=False)
        for row in rows.itertuples(index=False):
            shown.add_row(*row)
        console.print(shown)


@app.command()
def promote(
    task: Annotated[str, typer.Argument(help="The name of a task.")],
    version: Annotated[str, typer.Argument(help="A version's number, or challenger.")],
) -> None:
    """Let a version serve, once it was loaded and scored its own examples as promised."""
    from .store import registry

    print(f"{task} is served by version {registry.promote(task, version).number} now.")


@app.command()
def rollback(task: Annotated[str, typer.Argument(help="The name of a task.")]) -> None:
    """Let the version serve again that served before."""
    from .store import registry

    print(f"{task} is served by version {registry.rollback(task).number} again.")


@app.command()
def replay(
    decision: Annotated[str, typer.Argument(metavar="ID", help="A decision's id.")],
    database: Database = "sqlite:///var/decisions.db",
) -> None:
    """Compute a past decision again, from the version that made it and the row as it was. Status 3 where anything differs."""
    from .serve.replay import replayed
    from .store.files import root

    os.chdir(root())
    version, differences = replayed(database, decision)
    print(f"Decision {decision} by {version} " + ("comes out the same, bit for bit." if not differences else f"comes out otherwise: {'; '.join(differences)}."))
    raise typer.Exit(3 if differences else 0)


@app.command()
def score(
    task: Annotated[str, typer.Argument(help="The name of a task, whose champion scores.")],
    source: Annotated[str, typer.Option("--from", help="A table, a folder of tables, or a database URL with --query.")],
    target: Annotated[str, typer.Option("--to", help="The URL of a SQLite or PostgreSQL database.")],
    query: Annotated[str | None, typer.Option(help="The rows, where the source is a database.")] = None,
    watermark: Annotated[str | None, typer.Option(help="With --query: a column that only grows, such as when a row changed; each pass takes the rows from its last value on.")] = None,
    table: Annotated[str | None, typer.Option(help="The table of scores; TASK_scores without.")] = None,
    every: Annotated[str | None, typer.Option(help="Again and again after this time, such as 60s or 5min, until Ctrl-C.")] = None,
    scheduler: Annotated[str, typer.Option(help="A Dask scheduler, tcp://…, whose workers share this folder.")] = "",
) -> None:
    """Score tables into a database: a row a unit, bad rows apart with the reason. Killed, the same command goes on from there."""
    from .serve.score import Order, seconds
    from .store.files import root

    os.chdir(root())
    pause = seconds(every) if every else None
    if pause and query and not watermark:
        raise refusal("--every takes what is new, and a query needs --watermark to tell: name a column that only grows.")
    order = Order(task, source, query, watermark, target, table or f"{task}_scores", scheduler)
    scored_once(order)
    while pause:
        time.sleep(pause)
        try:
            scored_once(order)
        except Exception as error:  # a database that is down today answers tomorrow
            if type(error).__name__ != "Refusal":
                raise
            print(f"{error} Tried again in {every}.", file=sys.stderr)


def scored_once(order: Any) -> None:
    """One pass, with its progress and its counts."""
    from .serve.score import score

    began = time.perf_counter()
    with Rows() as rows:
        version, counts = score(order, rows)
    pace = counts.read / (time.perf_counter() - began)
    told = f", {counts.repeated:,} gave way to a later row of their unit" if counts.repeated else ""
    print(f"{counts.read:,} rows read: {counts.scored:,} scored by {version} into {order.table}, {counts.aside:,} put aside in {order.table}_quarantine{told}; {pace:,.0f} rows a second.", flush=True)


@app.command()
def serve(
    task: Annotated[str, typer.Argument(help="The task whose champion answers.")] = "credit",
    host: Annotated[str, typer.Option(help="The address to listen on; others than this machine's own need keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer.")] = 1,
    explore: Annotated[float, typer.Option(min=0, max=0.5, help="Share of the release's decisions that are drawn at random.")] = 0.0,
    on_database_failure: Annotated[str, typer.Option(help="refuse, or serve: the current process then decides, unwritten.")] = "refuse",
) -> None:
    """Serve a task as an API: the champion, and the running experiment. Another version that is promoted takes its place."""
    from .serve.service import serve as serve_task

    serve_task(task, host, port, workers, explore, on_database_failure)


@app.command()
def monitor(
    task: Annotated[str, typer.Argument(help="The name of a task, whose champion is watched.")] = "credit",
    database: Database = "sqlite:///var/decisions.db",
    days: Annotated[float, typer.Option(min=0.05, help="The window: the last days.")] = 7,
) -> None:
    """Hold the last decisions against what the champion learned from and promised; a line a finding. Status 3 where anything moved."""
    from .operate.monitor import monitor as watched
    from .operate.page import write_report
    from .store.files import root

    os.chdir(root())
    check_writable()
    report = watched(database, task, days)
    for name, said in report.findings.items():
        print(f"{name}: {said}")
    print(f"{report.version}: {report.decisions:,} decisions in {days:g} days, " + (f"{len(report.findings)} findings." if report.findings else "nothing moved.") + f" Read {write_report(task, report)}")
    raise typer.Exit(3 if report.findings else 0)


@app.command()
def retrain(
    task: Annotated[str, typer.Argument(help="The name of a task.")] = "credit",
    database: Database = "sqlite:///var/decisions.db",
    every: Annotated[str | None, typer.Option(help="Again and again after this time, such as 7d, until Ctrl-C.")] = None,
    on: Annotated[str | None, typer.Option(help="drift: only when monitoring finds something.")] = None,
    parameter: Parameters = None,
) -> None:
    """Learn anew from the sources and what came of decisions; the challenger serves only if it surely earns more. Status 3 where it does not."""
    from .errors import Refusal
    from .run.chain import Fault
    from .run.notebooks import checked, pairs
    from .serve.score import seconds
    from .store.files import root

    os.chdir(root())
    if on not in (None, "drift"):
        raise refusal(f"--on is {on!r}: give drift, or leave it out.")
    pause, given = seconds(every) if every else None, checked(pairs(parameter or []))
    if not pause:
        raise typer.Exit(0 if retrained_once(task, database, on, given) else 3)
    while True:
        try:
            retrained_once(task, database, on, given)
        except (Refusal, Fault) as error:  # a source that is gone today is there tomorrow
            print(f"{error} Tried again in {every}.", file=sys.stderr, flush=True)
        time.sleep(pause)


def retrained_once(task: str, database: str, on: str | None, parameters: dict[str, Any]) -> bool:
    """One retraining with what it says; whether the challenger serves, or nothing needed it."""
    from .operate.monitor import monitor as watched
    from .operate.retrain import retrain
    from .run.pages import usual_seconds
    from .store.task import read_task, task_path

    check_writable()
    found = read_task(task_path(task))
    if on and not watched(database, found.name).findings:
        print(f"{found.name}: nothing moved, so nothing is retrained.", flush=True)
        return True
    screen = Screen(found.question, usual_seconds(found.name))
    try:
        done = retrain(database, task, parameters, screen)
    finally:
        screen.close()
    for warning in done.warnings:
        print(f"Note: {warning}.")
    print(done.reason, flush=True)
    return done.promoted


@app.command()
def simulate(
    task: Annotated[str, typer.Argument(help="The name of a task, whose champion decides.")] = "credit",
    drift: Annotated[str, typer.Option(help="none, covariate, concept, seasonal or broken.")] = "none",
    months: Annotated[int, typer.Option(min=1, help="How many months are played.")] = 6,
    size: Annotated[float, typer.Option(min=0, help="How strong the drift gets: standard deviations (covariate, seasonal) or the share of rows.")] = 0.5,
    retrain: Annotated[bool, typer.Option("--retrain", help="Retrain where something is found, at most once a quarter; a tenth of the decisions is left to chance.")] = False,
    seed: int = 0,
    parameter: Parameters = None,
) -> None:
    """Play months of the task's traffic with drift put in, in var/simulated: what monitoring finds, and what retraining wins back."""
    from types import SimpleNamespace

    from .define import examples, sources, volume
    from .operate.simulate import EXPLORE, Plan, apart
    from .operate.simulate import months as played
    from .run.notebooks import checked, pairs
    from .store.files import root
    from .store.task import read_task, task_path

    os.chdir(root())
    found, given = read_task(task_path(task)), checked(pairs(parameter or []))
    plan = Plan(months, volume(found), drift, size, EXPLORE if retrain else 0.0)
    noticed = None
    print(f"month  drift  {found.value.currency} a decision  found")
    with apart(root() / "var" / "simulated" / found.name, found.name) as database, Rows() as rows:
        for month in played(database, found.name, examples(found, sources(found)), plan, seed, given if retrain else None, lambda *_: None):
            rows(SimpleNamespace(read=month.number * plan.decisions), months * plan.decisions)
            noticed = noticed or (month if month.found and month.drift else None)
            print(f"{month.number:>5}  {month.drift:>5.2f}  {month.money:>12,.4g}  " + ("; ".join(f"{name}: {said}" for name, said in month.found.items()) or "nothing"), flush=True)
            if month.retrained:
                print(f"       {month.retrained}", flush=True)
    print(f"The drift was found in month {noticed.number}, when its strength was {noticed.drift:.2g}." if noticed else "No drift was found." if drift != "none" else "There was no drift to find.")


def refusal(sentence: str) -> Exception:
    """A refusal with this sentence."""
    from .errors import Refusal

    return Refusal(sentence)


def check_writable() -> None:
    """Refuse a reports folder that cannot be written, before any work is done."""
    from .store.run import reports

    probe = reports() / f".probe-{os.getpid()}"
    try:
        reports().mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            file.write(b"\0" * 65536)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise refusal(f"The folder {reports()} cannot be written: {error.strerror}. Choose another by ML_WORKFLOW_REPORTS, or make room.") from None
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


class Screen:
    """What a run shows: on a terminal the stage under way and its time, elsewhere plain lines."""

    def __init__(self, question: str, usual: dict[str, float]) -> None:
        from rich.console import Console

        self.console, self.usual = Console(highlight=False, soft_wrap=True), usual
        self.console.print(f"[bold]{question}[/bold]")
        self.began = time.perf_counter()
        self.status: Ticking | None = None

    def __call__(self, event: str, stage: dict[str, Any]) -> None:
        """Show that a stage begins or has ended."""
        self.close()
        if event == "start":
            if self.console.is_terminal:
                self.status = Ticking(self.console, stage["name"], self.usual.get(stage["name"]))
            return
        verdict = stage.get("verdict") or {}
        colour = {"failed": "red", "stopped": "red"}.get(stage["status"], "green" if verdict.get("go") else "red")
        answer = verdict.get("answer") or stage.get("error", "")
        self.console.print(f"[{colour}]{stage['name']:<12}[/{colour}] {stage['seconds'] or 0:6.1f} s  {stage['status']:<7}  ", end="")
        self.console.print(answer, markup=False)

    def close(self) -> None:
        """Take the line of the stage under way off the screen."""
        if self.status is not None:
            self.status.stop()
            self.status = None

    def table(self, record: dict[str, Any]) -> None:
        """The outcome, the time, and the page to open."""
        from .store.run import reports

        self.console.print(f"\n[bold]{record['outcome'].capitalize() if record['outcome'] != 'pending' else 'As far as asked'}[/bold] after {time.perf_counter() - self.began:.0f} s")
        self.console.print(f"Read {reports() / record['run'] / 'index.html'}", markup=False)
        self.console.print(f"All runs: {reports() / 'index.html'}", markup=False)


class Ticking:
    """A spinner with the seconds since it began and, where earlier runs tell how long it takes, about how many are left."""

    def __init__(self, console: Any, name: str, usual: float | None) -> None:
        from rich.progress import Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

        class Left(ProgressColumn):
            """The seconds that are left, as far as earlier runs tell."""

            def render(self, task: Any) -> str:
                left = (usual or 0) - (task.elapsed or 0)
                return f"about {left:.0f} s left" if left > 0 else ""

        self.progress = Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), Left(), console=console, transient=True)
        self.progress.add_task(name, total=None)
        self.progress.start()

    def stop(self) -> None:
        """End the spinner and clear its line."""
        self.progress.stop()


class Course:
    """What a sweep shows: a line for each variant that ends and, on a terminal, a bar with the time left."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self.console = Console(highlight=False, soft_wrap=True)
        self.bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=self.console,
                            transient=True, disable=not self.console.is_terminal)  # fmt: skip
        self.task = self.bar.add_task("preparing", total=total)

    def __enter__(self) -> "Course":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, progress: Any) -> None:
        """Show how far the sweep is."""
        left = f"{progress.seconds_left:.0f} s left" if progress.seconds_left is not None else "running"
        self.bar.update(self.task, completed=progress.ended, description=left)
        if record := progress.record:
            last = next(s for s in reversed(record["stages"]) if s["status"] != "pending")
            given = " ".join(f"{name}={value}" for name, value in record["sweep"]["variant"].items())
            said = last.get("error") or (last.get("verdict") or {}).get("answer", "")
            tail = "" if self.console.is_terminal else f"  ({left})"
            self.console.print(f"{progress.ended:>4}/{progress.total}  {given}  {last['status']}: {said}{tail}", markup=False)
        elif progress.ended:
            self.console.print(f"{progress.ended} of {progress.total} variants are finished from before.")


experiment = typer.Typer(no_args_is_help=True, help="The release against the current process, live: start, ramp, kill, end, status.")
app.add_typer(experiment, name="experiment")
Named = Annotated[str, typer.Argument(help="The experiment's name.")]


def decisions_database() -> Any:
    """The decisions database of this project, ready for use."""
    from .store.decisions import address
    from .store.decisions import open as opened

    return opened(address())


@experiment.command()
def start(
    name: Named,
    task: Annotated[str, typer.Option(help="The task whose decisions are compared.")] = "credit",
    share: Annotated[float, typer.Option(help="The release's part of the units that take part.")] = 0.5,
    inclusion: Annotated[float, typer.Option(help="The part of all units that takes part at first.")] = 0.1,
    shadow: Annotated[bool, typer.Option("--shadow", help="Score with the release, serve the current process.")] = False,
    plan: Annotated[Path | None, typer.Option(help="The plan to bind to it, such as reports/latest/files/decision.json.")] = None,
) -> None:
    """Start an experiment with two salts of its own."""
    from .serve.experiments import read_plan
    from .serve.experiments import start as started

    new = started(decisions_database(), name, task, share, inclusion, shadow, read_plan(plan) if plan else {})
    print(f"{new.id}: {inclusion:.0%} of the units take part, {share:.0%} of these " + ("are scored by the release and served by the current process." if shadow else "get the release."))


@experiment.command()
def ramp(
    name: Named,
    inclusion: Annotated[float | None, typer.Option(help="The part of all units that takes part from now on; it can only rise.")] = None,
    share: Annotated[float | None, typer.Option(help="Another part for the release: begins a new phase.")] = None,
    metric: Annotated[str | None, typer.Option(help="Another metric: begins a new phase.")] = None,
) -> None:
    """Let more units in. Nobody who is in changes the arm."""
    from .serve.experiments import ramp as ramped

    changed, is_new = ramped(decisions_database(), name, inclusion, share, metric)
    last = changed.phases[-1]
    print(f"{name}: {last['inclusion']:.0%} of the units take part; the arms are {', '.join(f'{arm} {part:.0%}' for arm, part in last['weights'].items())}.")
    if is_new:
        print(f"Phase {len(changed.phases)} begins: weights or metric changed, so its evidence is counted apart; units already in keep arm and phase.")


@experiment.command()
def kill(name: Named) -> None:
    """Serve the current process to all at once; the arm assigned is still recorded."""
    from .serve.experiments import kill as killed

    killed(decisions_database(), name)
    print(f"{name} is killed: the current process is served, the arms assigned are still recorded.")


@experiment.command()
def end(name: Named) -> None:
    """End an experiment: no unit is exposed any more, the champion decides."""
    from .serve.experiments import end as ended

    ended(decisions_database(), name)
    print(f"{name} has ended: the champion decides.")


@experiment.command()
def status(name: Named) -> None:
    """Units, decisions and outcomes by phase and arm, and the strays."""
    from .store.experiments import experiment as found
    from .store.experiments import progress, strays_apart

    database = decisions_database()
    asked, rows = found(database, name), progress(database, name)
    print(f"{name} of {asked.task}: " + ("ended" if asked.ended else "killed" if asked.killed else "running") + (", in shadow" if asked.shadow else "") + f", phase {len(asked.phases)}, inclusion {asked.phases[-1]['inclusion']:.0%}")
    print(f"{'phase':>5}  {'arm':<10} {'units':>10} {'decisions':>10} {'outcomes':>10}")
    for row in rows:
        print(f"{row['phase']:>5}  {row['arm']:<10} {row['units']:>10,} {row['decisions']:>10,} {row['outcomes']:>10,}")
    print(f"{strays_apart(database):,} outcomes stand apart, because their decision or unit is unknown.")


@experiment.command()
def migrate() -> None:
    """Bring the decisions database to this program's migration."""
    from .store.database import address, connect
    from .store.database import migrate as migrated

    migrated(connect(address()))
    print("The decisions database is at this program's migration.")


class Rows:
    """What scoring shows on a terminal: a bar with rows, rows a second and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self.bar = Progress(BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"), TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
        self.task = self.bar.add_task("rows", total=None, pace="")
        self.began = time.perf_counter()

    def __enter__(self) -> "Rows":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, counts: Any, total: int) -> None:
        """Show how many rows are done."""
        self.bar.update(self.task, completed=counts.read, total=total, pace=f"{counts.read / (time.perf_counter() - self.began):,.0f} rows/s")


def main() -> None:
    """Run the command line; exit status 2 for what was given wrong, 1 for a fault of ours."""
    from .errors import Refusal

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # waiting threads spin briefly, then leave the core to others
    try:
        app()
    except Refusal as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != 130:  # typer's word for Ctrl-C
            raise
        print("Stopped; what was finished is kept, and the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if type(error).__name__ != "Fault" and os.environ.get("ML_WORKFLOW_DEBUG"):
            raise
        print(f"{error if type(error).__name__ == 'Fault' else f'A fault of ours: {type(error).__name__}: {str(error).partition(chr(10))[0]}'}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
