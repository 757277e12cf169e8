"""Commands of the workbench: run, sweep, runs."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option, Typer, confirm

from ..errors import Refusal
from .common import (
    Parameters,
    Query,
    Scheduler,
    check_writable,
    checked_parameters,
    enter_project,
    task_argument,
)
from .project import draft_and_print

app = Typer()


@app.command()
def run(
    task: Annotated[
        str, task_argument("A name in tasks/, the path of a task file, or a table with --target.")
    ],
    target: Annotated[
        str | None, Option(help="The column to predict: drafts a task for the table first.")
    ] = None,
    query: Query = None,
    parameter: Parameters = None,
    file: Annotated[Path | None, Option("-f", "--file", help="YAML file with parameters.")] = None,
    from_: Annotated[
        str | None, Option("--from", help="Run this stage and all after it anew.")
    ] = None,
    until: Annotated[str | None, Option("--until", help="The last stage to run.")] = None,
    fresh: Annotated[bool, Option("--fresh", help="Reuse nothing from earlier runs.")] = False,
    force: Annotated[bool, Option("--force", help="Go on past a stage that says stop.")] = False,
    kernels: Annotated[str, Option(help="auto, warm or stock Jupyter kernels.")] = "auto",
) -> None:
    """Take a task through the six notebooks, with a gate after each."""
    from ..run.kernels import kernels as start_kernels
    from ..run.notebooks import stage_named

    values = checked_parameters(parameter, file)
    last, first = stage_named(until or "05_abtest"), stage_named(from_) if from_ else None
    if kernels not in ("auto", "warm", "stock"):
        raise Refusal(f"--kernels is {kernels!r}: give auto, warm or stock.")
    if target:
        task = draft_and_print(task, target, query)
    enter_project()
    check_writable()
    # the warm parent imports its libraries while the task is checked
    with start_kernels(kernels) as pool:  # type: ignore[arg-type]
        from ..draft.check import check_task
        from ..report.records import usual_seconds
        from ..run.stages import Plan, run_stages
        from .screen import RunDisplay

        definition, _ = check_task(task)
        fresh_from = "00_define" if fresh else first
        plan = Plan(task, values, last, fresh_from, force, definition.name)
        with RunDisplay(definition.question, usual_seconds(definition.name)) as display:
            record = run_stages(plan, pool, display)
    display.show_end(record)
    raise Exit(3 if record.outcome == "stop" else 0)


@app.command()
def sweep(
    file: Annotated[
        Path, Argument(help="The YAML file of the sweep, such as sweeps/penguins.yaml.")
    ],
    jobs: Annotated[int, Option(min=1, help="Variants that run at the same time.")] = os.cpu_count()
    or 1,
    scheduler: Scheduler = "",
) -> None:
    """Run every variant of a grid of parameters. What they share runs once."""
    from ..run.sweep import run_sweep
    from ..run.variants import read_sweep
    from ..store.run import reports
    from .screen import SweepDisplay

    asked = read_sweep(file)
    check_writable()
    with SweepDisplay(len(asked.variants)) as display:
        records = run_sweep(asked, jobs, scheduler, display)
    failed = [run.failure for run in records if run.failure]
    print(
        f"{len(records) - len(failed)} of {len(records)} variants ended without a fault. "
        f"Compare them in {reports() / 'index.html'}"
    )
    raise Exit(0 if not failed else 2 if all(stage.refused for stage in failed) else 1)


@app.command()
def runs(
    prune: Annotated[bool, Option("--prune", help="Remove old runs, after asking.")] = False,
    keep: Annotated[int, Option(min=0, help="With --prune: keep this many of the newest.")] = 20,
    days: Annotated[
        float, Option(min=0, help="With --prune: keep those younger than this many days.")
    ] = 7,
    yes: Annotated[bool, Option("--yes", help="With --prune: do not ask.")] = False,
) -> None:
    """List the runs with outcome and size. With --prune, old ones are removed."""
    from ..run.pruning import kept_runs, removable, remove

    kept = kept_runs()
    for run in kept:
        record = run.record
        print(
            f"{record.run:<44} {record.task:<12} {record.reached:<16} {run.net_value:>16} "
            f"{run.size / 1e6:>9.1f} MB  {age(run.age):>8} old"
        )
    print(
        f"{len(kept)} runs, {sum(run.size for run in kept) / 1e6:,.1f} MB; "
        "files that runs share count once, for the newest."
    )
    old = removable(kept, keep, timedelta(days=days))
    if prune and not old:
        print(
            f"Nothing to remove: the newest {keep}, those younger than {days:g} days and the "
            "latest are kept."
        )
    elif prune and (
        yes or confirm(f"Remove {len(old)} runs, from {old[-1].record.run} to {old[0].record.run}?")
    ):
        remove(old)
        left = sum(run.size for run in kept_runs()) / 1e6
        print(f"Removed {len(old)} runs; {left:,.1f} MB are left.")


def age(span: timedelta) -> str:
    """A time span as people say it."""
    minutes = int(span.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} d"
