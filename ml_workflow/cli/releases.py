"""Commands for what is released: versions, promote, rollback, replay, score, serve."""

import os
import sys
import time
from typing import Annotated, Any

import typer

from .common import Database, refusal
from .screen import Rows

app = typer.Typer()


@app.command(name="versions")
def versions_of(
    task: Annotated[str | None, typer.Argument(help="The name of a task; left out: all.")] = None,
) -> None:
    """List the registered releases: which one serves, from which run, with what figures, live since when."""
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
    task: Annotated[str, typer.Argument(help="The name of a task.")],
    version: Annotated[str, typer.Argument(help="A version's number, or challenger.")],
) -> None:
    """Let a version serve, once it was loaded and scored its own examples as promised."""
    from ..model import registry

    print(f"{task} is served by version {registry.promote(task, version).number} now.")


@app.command()
def rollback(task: Annotated[str, typer.Argument(help="The name of a task.")]) -> None:
    """Let the version serve again that served before."""
    from ..model import registry

    print(f"{task} is served by version {registry.rollback(task).number} again.")


@app.command()
def replay(
    decision: Annotated[str, typer.Argument(metavar="ID", help="A decision's id.")],
    database: Database = "sqlite:///var/decisions.db",
) -> None:
    """Compute a past decision again, from the version that made it and the row as it was. Status 3 where anything differs."""
    from ..serve.replay import replayed
    from ..store.files import root

    os.chdir(root())
    version, differences = replayed(database, decision)
    print(
        f"Decision {decision} by {version} "
        + (
            "comes out the same, bit for bit."
            if not differences
            else f"comes out otherwise: {'; '.join(differences)}."
        )
    )
    raise typer.Exit(3 if differences else 0)


@app.command()
def score(
    task: Annotated[str, typer.Argument(help="The name of a task, whose champion scores.")],
    source: Annotated[
        str,
        typer.Option("--from", help="A table, a folder of tables, or a database URL with --query."),
    ],
    target: Annotated[
        str, typer.Option("--to", help="The URL of a SQLite or PostgreSQL database.")
    ],
    query: Annotated[
        str | None, typer.Option(help="The rows, where the source is a database.")
    ] = None,
    watermark: Annotated[
        str | None,
        typer.Option(
            help="With --query: a column that only grows, such as when a row changed; each pass takes the rows from its last value on."
        ),
    ] = None,
    table: Annotated[
        str | None, typer.Option(help="The table of scores; TASK_scores without.")
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(help="Again and again after this time, such as 60s or 5min, until Ctrl-C."),
    ] = None,
    scheduler: Annotated[
        str, typer.Option(help="A Dask scheduler, tcp://…, whose workers share this folder.")
    ] = "",
) -> None:
    """Score tables into a database: a row a unit, bad rows apart with the reason. Killed, the same command goes on from there."""
    from ..serve.score import Order, seconds
    from ..store.files import root

    os.chdir(root())
    pause = seconds(every) if every else None
    if pause and query and not watermark:
        raise refusal(
            "--every takes what is new, and a query needs --watermark to tell: name a column that only grows."
        )
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
    from ..serve.score import score

    began = time.perf_counter()
    with Rows() as rows:
        version, counts = score(order, rows)
    pace = counts.read / (time.perf_counter() - began)
    told = f", {counts.repeated:,} gave way to a later row of their unit" if counts.repeated else ""
    print(
        f"{counts.read:,} rows read: {counts.scored:,} scored by {version} into {order.table}, {counts.aside:,} put aside in {order.table}_quarantine{told}; {pace:,.0f} rows a second.",
        flush=True,
    )


@app.command()
def serve(
    task: Annotated[str, typer.Argument(help="The task whose champion answers.")] = "credit",
    host: Annotated[
        str,
        typer.Option(help="The address to listen on; others than this machine's own need keys."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer.")] = 1,
    explore: Annotated[
        float,
        typer.Option(
            min=0, max=0.5, help="Share of the release's decisions that are drawn at random."
        ),
    ] = 0.0,
    on_database_failure: Annotated[
        str, typer.Option(help="refuse, or serve: the current process then decides, unwritten.")
    ] = "refuse",
) -> None:
    """Serve a task as an API: the champion, and the running experiment. Another version that is promoted takes its place."""
    from ..serve.service import serve as serve_task

    serve_task(task, host, port, workers, explore, on_database_failure)
