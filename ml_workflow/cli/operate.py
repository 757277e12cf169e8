"""Commands for what is live: monitor, retrain, simulate."""

import os
import sys
import time
from typing import Annotated, Any

import typer

from .common import Database, Parameters, check_writable, refusal
from .screen import Rows, Screen

app = typer.Typer()


@app.command()
def monitor(
    task: Annotated[
        str, typer.Argument(help="The name of a task, whose champion is watched.")
    ] = "credit",
    database: Database = "sqlite:///var/decisions.db",
    days: Annotated[float, typer.Option(min=0.05, help="The window: the last days.")] = 7,
) -> None:
    """Hold the last decisions against what the champion learned from and promised; a line a finding. Status 3 where anything moved."""
    from ..operate.monitor import monitor as watched
    from ..operate.page import write_report
    from ..store.files import root

    os.chdir(root())
    check_writable()
    report = watched(database, task, days)
    for name, said in report.findings.items():
        print(f"{name}: {said}")
    print(
        f"{report.version}: {report.decisions:,} decisions in {days:g} days, "
        + (f"{len(report.findings)} findings." if report.findings else "nothing moved.")
        + f" Read {write_report(task, report)}"
    )
    raise typer.Exit(3 if report.findings else 0)


@app.command()
def retrain(
    task: Annotated[str, typer.Argument(help="The name of a task.")] = "credit",
    database: Database = "sqlite:///var/decisions.db",
    every: Annotated[
        str | None, typer.Option(help="Again and again after this time, such as 7d, until Ctrl-C.")
    ] = None,
    on: Annotated[
        str | None, typer.Option(help="drift: only when monitoring finds something.")
    ] = None,
    parameter: Parameters = None,
) -> None:
    """Learn anew from the sources and what came of decisions; the challenger serves only if it surely earns more. Status 3 where it does not."""
    from ..errors import Refusal
    from ..run.chain import Fault
    from ..run.notebooks import checked, pairs
    from ..serve.score import seconds
    from ..store.files import root

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
    from ..operate.monitor import monitor as watched
    from ..operate.retrain import retrain
    from ..report.pages import usual_seconds
    from ..task.file import read_task, task_path

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
    task: Annotated[
        str, typer.Argument(help="The name of a task, whose champion decides.")
    ] = "credit",
    drift: Annotated[
        str, typer.Option(help="none, covariate, concept, seasonal or broken.")
    ] = "none",
    months: Annotated[int, typer.Option(min=1, help="How many months are played.")] = 6,
    size: Annotated[
        float,
        typer.Option(
            min=0,
            help="How strong the drift gets: standard deviations (covariate, seasonal) or the share of rows.",
        ),
    ] = 0.5,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="Retrain where something is found, at most once a quarter; one decision in fifty is left to chance.",
        ),
    ] = False,
    seed: int = 0,
    parameter: Parameters = None,
) -> None:
    """Play months of the task's traffic with drift put in, in var/simulated: what monitoring finds, and what retraining wins back."""
    from types import SimpleNamespace

    from ..data.joins import examples, sources
    from ..decision.money import volume
    from ..operate.simulate import EXPLORE, Plan, apart
    from ..operate.simulate import months as played
    from ..run.notebooks import checked, pairs
    from ..store.files import root
    from ..task.file import read_task, task_path

    os.chdir(root())
    found, given = read_task(task_path(task)), checked(pairs(parameter or []))
    plan = Plan(months, volume(found), drift, size, EXPLORE if retrain else 0.0)
    noticed = None
    print(f"month  drift  {found.value.currency} a decision  found")
    with apart(root() / "var" / "simulated" / found.name, found.name) as database, Rows() as rows:
        for month in played(
            database,
            found.name,
            examples(found, sources(found)),
            plan,
            seed,
            given if retrain else None,
            lambda *_: None,
        ):
            rows(SimpleNamespace(read=month.number * plan.decisions), months * plan.decisions)
            noticed = noticed or (month if month.found and month.drift else None)
            print(
                f"{month.number:>5}  {month.drift:>5.2f}  {month.money:>12,.4g}  "
                + ("; ".join(f"{name}: {said}" for name, said in month.found.items()) or "nothing"),
                flush=True,
            )
            if month.retrained:
                print(f"       {month.retrained}", flush=True)
    print(
        f"The drift was found in month {noticed.number}, when its strength was {noticed.drift:.2g}."
        if noticed
        else "No drift was found."
        if drift != "none"
        else "There was no drift to find."
    )
