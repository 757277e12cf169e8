"""Commands of the live experiment: start, ramp, kill, end, status, migrate."""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option, Typer

app = Typer(
    no_args_is_help=True,
    help="The release against the current process, live: start, ramp, kill, end, status.",
)
Name = Annotated[str, Argument(help="The experiment's name.")]


def open_database() -> Any:
    """The decisions database of this project, ready for use."""
    from ..store.database import decisions_url, open_decisions

    return open_decisions(decisions_url())


@app.command()
def start(
    name: Name,
    task: Annotated[str, Option(help="The task whose decisions are compared.")] = "credit",
    share: Annotated[float, Option(help="The release's part of the units that take part.")] = 0.5,
    inclusion: Annotated[
        float, Option(help="The part of all units that takes part at first.")
    ] = 0.1,
    shadow: Annotated[
        bool, Option("--shadow", help="Score with the release, serve the current process.")
    ] = False,
    plan: Annotated[
        Path | None,
        Option(help="The plan to bind to it, such as reports/latest/files/decision.json."),
    ] = None,
) -> None:
    """Start an experiment with two salts of its own."""
    from ..experiments.lifecycle import start
    from ..experiments.plan import read_plan

    content, database = read_plan(plan) if plan else None, open_database()
    new = start(database, name, task, share, inclusion, shadow=shadow, plan=content)
    served = "get the release."
    if shadow:
        served = "are scored by the release and served by the current process."
    print(f"{new.id}: {inclusion:.0%} of the units take part, {share:.0%} of these {served}")


@app.command()
def ramp(
    name: Name,
    inclusion: Annotated[
        float | None,
        Option(help="The part of all units that takes part from now on; it can only rise."),
    ] = None,
    share: Annotated[
        float | None, Option(help="Another part for the release: begins a new phase.")
    ] = None,
    metric: Annotated[str | None, Option(help="Another metric: begins a new phase.")] = None,
) -> None:
    """Let more units in. Nobody who is in changes the arm."""
    from ..experiments import lifecycle

    experiment, is_new = lifecycle.ramp(open_database(), name, inclusion, share, metric)
    last = experiment.phases[-1]
    arms = ", ".join(f"{arm} {part:.0%}" for arm, part in last["weights"].items())
    print(f"{name}: {last['inclusion']:.0%} of the units take part; the arms are {arms}.")
    if is_new:
        print(
            f"Phase {len(experiment.phases)} begins: weights or metric changed, so its evidence is "
            "counted apart; units already in keep arm and phase."
        )


@app.command()
def kill(name: Name) -> None:
    """Serve the current process to all at once; the arm assigned is still recorded."""
    from ..experiments import lifecycle

    lifecycle.kill(open_database(), name)
    print(f"{name} is killed: the current process is served, the arms assigned are still recorded.")


@app.command()
def end(name: Name) -> None:
    """End an experiment: no unit is exposed any more, the champion decides."""
    from ..experiments import lifecycle

    lifecycle.end(open_database(), name)
    print(f"{name} has ended: the champion decides.")


@app.command()
def status(name: Name) -> None:
    """Units, decisions and outcomes by phase and arm, and the strays."""
    from ..store.experiments import count_strays, progress, read_experiment

    database = open_database()
    experiment = read_experiment(database, name)
    state = "ended" if experiment.ended else "killed" if experiment.killed else "running"
    print(
        f"{name} of {experiment.task}: {state}{', in shadow' if experiment.shadow else ''}, "
        f"phase {len(experiment.phases)}, inclusion {experiment.phases[-1]['inclusion']:.0%}"
    )
    print(f"{'phase':>5}  {'arm':<10} {'units':>10} {'decisions':>10} {'outcomes':>10}")
    for row in progress(database, name):
        print(
            f"{row.phase:>5}  {row.arm:<10} {row.units:>10,} {row.decisions:>10,} "
            f"{row.outcomes:>10,}"
        )
    print(
        f"{count_strays(database):,} outcomes stand apart, because their decision or unit is "
        "unknown."
    )


@app.command()
def migrate() -> None:
    """Bring the decisions database to this program's migration."""
    from ..store import database

    database.migrate(database.connect(database.decisions_url()))
    print("The decisions database is at this program's migration.")
