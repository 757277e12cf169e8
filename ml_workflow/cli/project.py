"""Commands that begin or look at a project: check, task, new, doctor."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .common import refusal, usual_task

app = typer.Typer()


@app.command()
def check(
    task: Annotated[
        str,
        typer.Argument(
            default_factory=usual_task,
            show_default="the one that 00_define names",
            help="A name in tasks/, or the path of a task file.",
        ),
    ],
    table: Annotated[
        str | None,
        typer.Option(help="A new table, held against the contract of the task's newest run."),
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="The rows, where the table is a database.")
    ] = None,
    quarantine: Annotated[
        Path | None,
        typer.Option(
            help="With --table: put the rows that break the contract into this file, with the reason."
        ),
    ] = None,
) -> None:
    """Is a task complete, do its sources answer? With --table: does a new table keep the contract? Runs nothing."""
    from ..draft.check import check_task
    from ..task.checklist import checklist

    if table:
        return held_against(task, table, query, quarantine)
    found, counts = check_task(task)
    print(f"{found.name}: {found.question}")
    print(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    for item in checklist(found).to_dict("records"):
        print(
            f"  {item['item']}: "
            + ("yes" if item["there"] == "yes" else f"missing, so {item['if missing']}")
        )


def held_against(task: str, table: str, query: str | None, quarantine: Path | None) -> None:
    """Say every fault of a table at once; refuse it, or put its bad rows aside."""
    from ..draft.check import check_table, put_aside

    found, good, bad = check_table(task, table, query)
    for fault in found.to_dict("records"):
        print(
            f"  {fault['column']} {fault['rule']}: broken in {fault['rows']:,} rows"
            + (f", such as {fault['for example']}" if fault["for example"] else "")
        )
    if len(bad) and not quarantine:
        raise refusal(
            f"{len(bad):,} of {len(good) + len(bad):,} rows break the contract: mend the table, or put these rows aside by --quarantine FILE."
        )
    if len(bad) and quarantine:
        put_aside(quarantine, bad)
        print(f"{len(bad):,} rows with their reasons are in {quarantine}.")
    print(f"{len(good):,} of {len(good) + len(bad):,} rows keep the contract.")


@app.command(name="task")
def draft_task(
    table: Annotated[str, typer.Argument(help="A file, a folder of files, or a database URL.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    query: Annotated[
        str | None, typer.Option(help="The rows, where the table is a database.")
    ] = None,
) -> None:
    """Draft tasks/<name>.yaml from a table. Each guess stands there with its reason; nothing is run."""
    drafted(table, target, query)


def drafted(table: str, target: str, query: str | None) -> str:
    """Draft a task, say each guess, and give the task's name."""
    from ..draft.draft import write_draft
    from ..store.files import name_of

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
    data: Annotated[
        str, typer.Option(help="Its table: a file, a folder of files, or a database URL.")
    ],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    query: Annotated[
        str | None, typer.Option(help="The rows, where the table is a database.")
    ] = None,
) -> None:
    """Make a new repository from this template, with its own name, task and README, that takes later updates."""
    from ..run.new import new as make

    say_guesses(make(place, name, data, target, query))
    print(
        f"{place} is a repository with its first commit. Correct tasks/{name}.yaml there; `make run` and `make test` already work."
    )


@app.command()
def doctor() -> None:
    """What this machine lacks for the project, and how to get it. Exit status 3 when something is missing that is not for tests alone."""
    from ..run.doctor import findings

    lacking = False
    for finding in findings():
        said = (
            f"missing{', for tests only' if finding.for_tests else ''}: {finding.remedy}"
            if finding.remedy
            else "ok"
        )
        print(f"{finding.name:<17} {finding.found}  {said}", flush=True)
        lacking = lacking or bool(finding.remedy and not finding.for_tests)
    raise typer.Exit(3 if lacking else 0)
