"""Commands that begin or look at a project: check, task, new, doctor."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option, Typer

from ..errors import Refusal
from .common import Query, Target, task_argument

if TYPE_CHECKING:
    from ..draft.guesses import Guess

app = Typer()


@app.command()
def check(
    task: Annotated[str, task_argument("A name in tasks/, or the path of a task file.")],
    table: Annotated[
        str | None,
        Option(help="A new table, held against the contract of the task's newest run."),
    ] = None,
    query: Query = None,
    quarantine: Annotated[
        Path | None,
        Option(
            help="With --table: put the rows that break the contract into this file, "
            "with the reason."
        ),
    ] = None,
) -> None:
    """Is a task complete, do its sources answer? With --table: does a new table keep the contract?
    Runs nothing."""
    from ..draft.check import check_task
    from ..task.completeness import checklist

    if table:
        return check_new_table(task, table, query, quarantine)
    definition, counts = check_task(task)
    print(f"{definition.name}: {definition.question}")
    print(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    for item in checklist(definition).to_dict("records"):
        state = "yes" if item["there"] == "yes" else f"missing, so {item['if missing']}"
        print(f"  {item['item']}: {state}")


def check_new_table(task: str, table: str, query: str | None, quarantine: Path | None) -> None:
    """Print every fault of a table at once; refuse it, or put its bad rows aside."""
    from ..draft.check import check_table, put_aside

    faults, good, bad = check_table(task, table, query)
    total = len(good) + len(bad)
    for fault in faults.to_dict("records"):
        example = f", such as {fault['for example']}" if fault["for example"] else ""
        print(f"  {fault['column']} {fault['rule']}: broken in {fault['rows']:,} rows{example}")
    if len(bad):
        if not quarantine:
            raise Refusal(
                f"{len(bad):,} of {total:,} rows break the contract: mend the table, "
                "or put these rows aside by --quarantine FILE."
            )
        put_aside(quarantine, bad)
        print(f"{len(bad):,} rows with their reasons are in {quarantine}.")
    print(f"{len(good):,} of {total:,} rows keep the contract.")


@app.command(name="task")
def draft_task(
    table: Annotated[str, Argument(help="A file, a folder of files, or a database URL.")],
    target: Target,
    query: Query = None,
) -> None:
    """Draft tasks/<name>.yaml from a table. Each guess stands there with its reason; nothing is
    run."""
    draft_and_print(table, target, query)


def draft_and_print(table: str, target: str, query: str | None) -> str:
    """Draft a task, print each guess, and give the task's name."""
    from ..draft.guesses import write_draft
    from ..store.files import name_of

    place, guesses, task = write_draft(table, target, query)
    print(f"Drafted {name_of(place)}; correct what is guessed wrongly:")
    print_guesses(guesses)
    return task.name


def print_guesses(guesses: "dict[str, Guess]") -> None:
    """Each guess of a draft with its reason."""
    for key, guess in guesses.items():
        print(f"  {key}: {guess.value} ({guess.why})")


@app.command()
def new(
    place: Annotated[Path, Argument(help="The folder of the new project, such as ../churn.")],
    name: Annotated[str, Option(help="Its name, which its task gets too.")],
    data: Annotated[str, Option(help="Its table: a file, a folder of files, or a database URL.")],
    target: Target,
    query: Query = None,
) -> None:
    """Make a new repository from this template, with its own name, task and README, that takes
    later updates."""
    from ..run.new import new as make

    print_guesses(make(place, name, data, target, query))
    print(
        f"{place} is a repository with its first commit. Correct tasks/{name}.yaml there; "
        "`make run` and `make test` already work."
    )


@app.command()
def doctor() -> None:
    """What this machine lacks for the project, and how to get it. Exit status 3 when something is
    missing that is not for tests alone."""
    from ..run.doctor import findings

    lacking = False
    for finding in findings():
        tests = ", for tests only" if finding.for_tests else ""
        state = f"missing{tests}: {finding.remedy}" if finding.remedy else "ok"
        print(f"{finding.name:<17} {finding.state}  {state}", flush=True)
        lacking = lacking or bool(finding.remedy and not finding.for_tests)
    raise Exit(3 if lacking else 0)
