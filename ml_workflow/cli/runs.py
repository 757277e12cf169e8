"""Commands of the workbench: run, sweep, runs."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Parameters, check_writable, refusal, usual_task
from .project import drafted
from .screen import Course, Screen

app = typer.Typer()


@app.command()
def run(
    task: Annotated[
        str,
        typer.Argument(
            default_factory=usual_task,
            show_default="the one that 00_define names",
            help="A name in tasks/, the path of a task file, or a table with --target.",
        ),
    ],
    target: Annotated[
        str | None, typer.Option(help="The column to predict: drafts a task for the table first.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="The rows, where the table is a database.")
    ] = None,
    parameter: Parameters = None,
    file: Annotated[
        Path | None, typer.Option("-f", "--file", help="YAML file with parameters.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Run this stage and all after it anew.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="The last stage to run.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Reuse nothing from earlier runs.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on past a stage that says stop.")
    ] = False,
    kernels: Annotated[str, typer.Option(help="auto, warm or stock Jupyter kernels.")] = "auto",
) -> None:
    """Take a task through the six notebooks, with a gate after each."""
    from ..run.kernels import kernels as opened
    from ..run.notebooks import checked, from_file, pairs, stage_named
    from ..store.files import root

    given = checked({**(from_file(file) if file else {}), **pairs(parameter or [])})
    until, from_ = stage_named(until or "05_abtest"), stage_named(from_) if from_ else None
    if kernels not in ("auto", "warm", "stock"):
        raise refusal(f"--kernels is {kernels!r}: give auto, warm or stock.")
    if target:
        task = drafted(task, target, query)
    os.chdir(root())
    check_writable()
    with opened(kernels) as pool:  # type: ignore[arg-type]  # the warm parent imports its libraries while the task is checked
        from ..draft.check import check_task
        from ..report.pages import usual_seconds
        from ..run.chain import Plan
        from ..run.chain import run as chain

        found, _ = check_task(task)
        screen = Screen(found.question, usual_seconds(found.name))
        try:
            record = chain(
                Plan(task, given, until, "00_define" if fresh else from_, force, found.name),
                pool,
                screen,
            )
        finally:
            screen.close()
    screen.table(record)
    raise typer.Exit(3 if record["outcome"] == "stop" else 0)


@app.command()
def sweep(
    file: Annotated[
        Path, typer.Argument(help="The YAML file of the sweep, such as sweeps/penguins.yaml.")
    ],
    jobs: Annotated[
        int, typer.Option(min=1, help="Variants that run at the same time.")
    ] = os.cpu_count() or 1,
    scheduler: Annotated[
        str, typer.Option(help="A Dask scheduler, tcp://…, whose workers share this folder.")
    ] = "",
) -> None:
    """Run every variant of a grid of parameters. What they share runs once."""
    from ..run.sweep import read_sweep
    from ..run.sweep import sweep as run_variants
    from ..store.run import reports

    asked = read_sweep(file)
    check_writable()
    with Course(len(asked.variants)) as course:
        records = run_variants(asked, jobs, scheduler, course)
    failed = [s for r in records for s in r["stages"] if s["status"] == "failed"]
    print(
        f"{len(records) - len(failed)} of {len(records)} variants ended without a fault. Compare them in {reports() / 'index.html'}"
    )
    raise typer.Exit(0 if not failed else 2 if all(s["refused"] for s in failed) else 1)


@app.command()
def runs(
    prune: Annotated[bool, typer.Option("--prune", help="Remove old runs, after asking.")] = False,
    keep: Annotated[
        int, typer.Option(min=0, help="With --prune: keep this many of the newest.")
    ] = 20,
    days: Annotated[
        float, typer.Option(min=0, help="With --prune: keep those younger than this many days.")
    ] = 7,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: do not ask.")] = False,
) -> None:
    """List the runs with outcome and size. With --prune, old ones are removed."""
    from datetime import timedelta

    from ..run.disk import listed, old, remove

    found = listed()
    for run in found:
        print(
            f"{run.run:<44} {run.task:<12} {run.outcome:<16} {run.net_value:>16} {run.size / 1e6:>9.1f} MB  {age(run.age):>8} old"
        )
    print(
        f"{len(found)} runs, {sum(run.size for run in found) / 1e6:,.1f} MB; files that runs share count once, for the newest."
    )
    if prune:
        going = old(found, keep, timedelta(days=days))
        if not going:
            print(
                f"Nothing to remove: the newest {keep}, those younger than {days:g} days and the latest are kept."
            )
        elif yes or typer.confirm(
            f"Remove {len(going)} runs, from {going[-1].run} to {going[0].run}?"
        ):
            remove(going)
            print(
                f"Removed {len(going)} runs; {sum(run.size for run in listed()) / 1e6:,.1f} MB are left."
            )


def age(span: Any) -> str:
    """A time span as people say it."""
    minutes = int(span.total_seconds() // 60)
    return (
        f"{minutes} min"
        if minutes < 120
        else f"{minutes // 60} h"
        if minutes < 2880
        else f"{minutes // 1440} d"
    )
