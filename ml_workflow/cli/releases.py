"""Commands for what is released: versions, promote, rollback, replay, score, serve."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option, Typer

from ..errors import Refusal
from .common import DATABASE, Database, Query, Scheduler, TaskName, enter_project, repeat

if TYPE_CHECKING:
    from ..serve.source import Order

app = Typer()


@app.command(name="versions")
def versions_of(
    task: Annotated[str | None, Argument(help="The name of a task; left out: all.")] = None,
) -> None:
    """List the registered releases: which one serves, from which run, with what figures, live since
    when."""
    from rich.console import Console
    from rich.table import Table

    from ..model.registry import tasks
    from ..serve.versions import table

    console = Console(width=None if sys.stdout.isatty() else 160)
    for name in [task] if task else tasks():
        rows = table(name)
        shown = Table(*rows.columns, title=name, title_justify="left", box=None, pad_edge=False)
        for row in rows.itertuples(index=False):
            shown.add_row(*row)
        console.print(shown)


@app.command()
def promote(
    task: TaskName,
    version: Annotated[str, Argument(help="A version's number, or challenger.")],
) -> None:
    """Let a version serve, once it was loaded and scored its own examples as promised."""
    from ..model import registry

    print(f"{task} is served by version {registry.promote(task, version)} now.")


@app.command()
def rollback(task: TaskName) -> None:
    """Let the version serve again that served before."""
    from ..model import registry

    print(f"{task} is served by version {registry.rollback(task)} again.")


@app.command()
def replay(
    decision: Annotated[str, Argument(metavar="ID", help="A decision's id.")],
    database: Database = DATABASE,
) -> None:
    """Compute a past decision again, from the version that made it and the row as it was. Status 3
    where anything differs."""
    from ..serve.replay import replay as compute_again

    enter_project()
    version, differences = compute_again(database, decision)
    otherwise = f"otherwise: {'; '.join(differences)}"
    result = otherwise if differences else "the same, bit for bit"
    print(f"Decision {decision} by {version} comes out {result}.")
    raise Exit(3 if differences else 0)


@app.command()
def score(
    task: Annotated[str, Argument(help="The name of a task, whose champion scores.")],
    source: Annotated[
        str,
        Option("--from", help="A table, a folder of tables, or a database URL with --query."),
    ],
    target: Annotated[str, Option("--to", help="The URL of a SQLite or PostgreSQL database.")],
    query: Query = None,
    watermark: Annotated[
        str | None,
        Option(
            help="With --query: a column that only grows, such as when a row changed; each pass "
            "takes the rows from its last value on."
        ),
    ] = None,
    table: Annotated[str | None, Option(help="The table of scores; TASK_scores without.")] = None,
    every: Annotated[
        str | None,
        Option(help="Again and again after this time, such as 60s or 5min, until Ctrl-C."),
    ] = None,
    scheduler: Scheduler = "",
) -> None:
    """Score tables into a database: a row a unit, bad rows apart with the reason. Killed, the same
    command goes on from there."""
    from ..serve.score import seconds
    from ..serve.source import Order

    enter_project()
    pause = seconds(every) if every else 0.0
    if every and query and not watermark:
        raise Refusal(
            "--every takes what is new, and a query needs --watermark to tell: "
            "name a column that only grows."
        )
    order = Order(task, source, query, watermark, target, table or f"{task}_scores", scheduler)
    score_once(order)
    if every:
        time.sleep(pause)
        repeat(lambda: score_once(order), every, pause)


def score_once(order: "Order") -> None:
    """One pass, with its progress and its counts."""
    from ..serve.score import score
    from .screen import RowsDisplay

    began = time.perf_counter()
    with RowsDisplay() as rows:
        version, counts = score(order, lambda counts, total: rows(counts.read, total))
    pace = counts.read / (time.perf_counter() - began)
    repeated = f", {counts.repeated:,} gave way to a later row of their unit"
    print(
        f"{counts.read:,} rows read: {counts.scored:,} scored by {version} into {order.table}, "
        f"{counts.aside:,} put aside in {order.table}_quarantine"
        f"{repeated if counts.repeated else ''}; {pace:,.0f} rows a second.",
        flush=True,
    )


@app.command()
def serve(
    task: TaskName = "credit",
    host: Annotated[
        str,
        Option(help="The address to listen on; others than this machine's own need keys."),
    ] = "127.0.0.1",
    port: Annotated[int, Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, Option(min=1, help="Processes that answer.")] = 1,
    explore: Annotated[
        float,
        Option(min=0, max=0.5, help="Share of the release's decisions that are drawn at random."),
    ] = 0.0,
    on_database_failure: Annotated[
        str, Option(help="refuse, or serve: the current process then decides, unwritten.")
    ] = "refuse",
) -> None:
    """Serve a task as an API: the champion, and the running experiment. Another version that is
    promoted takes its place."""
    from ..serve.service import serve as serve_task

    serve_task(task, host, port, workers, explore, on_database_failure)
