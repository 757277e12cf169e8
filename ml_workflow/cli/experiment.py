"""Commands of the live experiment: start, ramp, kill, end, status, migrate."""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="The release against the current process, live: start, ramp, kill, end, status.",
)
Named = Annotated[str, typer.Argument(help="The experiment's name.")]


def decisions_database() -> Any:
    """The decisions database of this project, ready for use."""
    from ..store.database import address
    from ..store.database import open as opened

    return opened(address())


@app.command()
def start(
    name: Named,
    task: Annotated[str, typer.Option(help="The task whose decisions are compared.")] = "credit",
    share: Annotated[
        float, typer.Option(help="The release's part of the units that take part.")
    ] = 0.5,
    inclusion: Annotated[
        float, typer.Option(help="The part of all units that takes part at first.")
    ] = 0.1,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Score with the release, serve the current process.")
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option(help="The plan to bind to it, such as reports/latest/files/decision.json."),
    ] = None,
) -> None:
    """Start an experiment with two salts of its own."""
    from ..experiments.lifecycle import read_plan
    from ..experiments.lifecycle import start as started

    new = started(
        decisions_database(), name, task, share, inclusion, shadow, read_plan(plan) if plan else {}
    )
    print(
        f"{new.id}: {inclusion:.0%} of the units take part, {share:.0%} of these "
        + (
            "are scored by the release and served by the current process."
            if shadow
            else "get the release."
        )
    )


@app.command()
def ramp(
    name: Named,
    inclusion: Annotated[
        float | None,
        typer.Option(help="The part of all units that takes part from now on; it can only rise."),
    ] = None,
    share: Annotated[
        float | None, typer.Option(help="Another part for the release: begins a new phase.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Another metric: begins a new phase.")] = None,
) -> None:
    """Let more units in. Nobody who is in changes the arm."""
    from ..experiments.lifecycle import ramp as ramped

    changed, is_new = ramped(decisions_database(), name, inclusion, share, metric)
    last = changed.phases[-1]
    print(
        f"{name}: {last['inclusion']:.0%} of the units take part; the arms are {', '.join(f'{arm} {part:.0%}' for arm, part in last['weights'].items())}."
    )
    if is_new:
        print(
            f"Phase {len(changed.phases)} begins: weights or metric changed, so its evidence is counted apart; units already in keep arm and phase."
        )


@app.command()
def kill(name: Named) -> None:
    """Serve the current process to all at once; the arm assigned is still recorded."""
    from ..experiments.lifecycle import kill as killed

    killed(decisions_database(), name)
    print(f"{name} is killed: the current process is served, the arms assigned are still recorded.")


@app.command()
def end(name: Named) -> None:
    """End an experiment: no unit is exposed any more, the champion decides."""
    from ..experiments.lifecycle import end as ended

    ended(decisions_database(), name)
    print(f"{name} has ended: the champion decides.")


@app.command()
def status(name: Named) -> None:
    """Units, decisions and outcomes by phase and arm, and the strays."""
    from ..store.experiments import experiment as found
    from ..store.experiments import progress, strays_apart

    database = decisions_database()
    asked, rows = found(database, name), progress(database, name)
    print(
        f"{name} of {asked.task}: "
        + ("ended" if asked.ended else "killed" if asked.killed else "running")
        + (", in shadow" if asked.shadow else "")
        + f", phase {len(asked.phases)}, inclusion {asked.phases[-1]['inclusion']:.0%}"
    )
    print(f"{'phase':>5}  {'arm':<10} {'units':>10} {'decisions':>10} {'outcomes':>10}")
    for row in rows:
        print(
            f"{row['phase']:>5}  {row['arm']:<10} {row['units']:>10,} {row['decisions']:>10,} {row['outcomes']:>10,}"
        )
    print(
        f"{strays_apart(database):,} outcomes stand apart, because their decision or unit is unknown."
    )


@app.command()
def migrate() -> None:
    """Bring the decisions database to this program's migration."""
    from ..store.database import address, connect
    from ..store.database import migrate as migrated

    migrated(connect(address()))
    print("The decisions database is at this program's migration.")
