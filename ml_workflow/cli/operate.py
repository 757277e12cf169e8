"""Commands for what is live: monitor, retrain, simulate."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit, Option, Typer

from ..errors import Refusal
from .common import (
    DATABASE,
    Database,
    Parameters,
    TaskName,
    check_writable,
    checked_parameters,
    enter_project,
    repeat,
)

if TYPE_CHECKING:
    from ..operate.simulate import Month

app = Typer()


@app.command()
def monitor(
    task: TaskName = "credit",
    database: Database = DATABASE,
    days: Annotated[float, Option(min=0.05, help="The window: the last days.")] = 7,
) -> None:
    """Hold the last decisions against what the champion learned from and promised; a line a
    finding. Status 3 where anything moved."""
    from ..operate import monitor, page

    enter_project()
    check_writable()
    report = monitor.monitor(database, task, days)
    for name, sentence in report.findings.items():
        print(f"{name}: {sentence}")
    count = f"{len(report.findings)} findings." if report.findings else "nothing moved."
    print(
        f"{report.version}: {report.decisions:,} decisions in {days:g} days, {count} "
        f"Read {page.write_report(task, report)}"
    )
    raise Exit(3 if report.findings else 0)


@app.command()
def retrain(
    task: TaskName = "credit",
    database: Database = DATABASE,
    every: Annotated[
        str | None, Option(help="Again and again after this time, such as 7d, until Ctrl-C.")
    ] = None,
    on: Annotated[str | None, Option(help="drift: only when monitoring finds something.")] = None,
    parameter: Parameters = None,
) -> None:
    """Learn anew from the sources and what came of decisions; the challenger serves only if it
    surely earns more. Status 3 where it does not."""
    from ..serve.score import seconds

    enter_project()
    if on not in (None, "drift"):
        raise Refusal(f"--on is {on!r}: give drift, or leave it out.")
    pause, values = seconds(every) if every else 0.0, checked_parameters(parameter)
    if every:
        repeat(lambda: retrain_once(task, database, on, values), every, pause)
    raise Exit(0 if retrain_once(task, database, on, values) else 3)


def retrain_once(task: str, database: str, on: str | None, parameters: Any) -> bool:
    """One retraining with what it says; whether the challenger serves, or nothing needed it."""
    from ..operate.monitor import monitor
    from ..operate.retrain import retrain
    from ..report.records import usual_seconds
    from ..task.file import read_task, task_path
    from .screen import RunDisplay

    check_writable()
    definition = read_task(task_path(task))
    if on and not monitor(database, definition.name).findings:
        print(f"{definition.name}: nothing moved, so nothing is retrained.", flush=True)
        return True
    with RunDisplay(definition.question, usual_seconds(definition.name)) as display:
        result = retrain(database, task, parameters, display)
    for warning in result.warnings:
        print(f"Note: {warning}.")
    print(result.reason, flush=True)
    return result.promoted


@app.command()
def simulate(
    task: Annotated[str, Argument(help="The name of a task, whose champion decides.")] = "credit",
    drift: Annotated[str, Option(help="none, covariate, concept, seasonal or broken.")] = "none",
    months: Annotated[int, Option(min=1, help="How many months are played.")] = 6,
    size: Annotated[
        float,
        Option(
            min=0,
            help="How strong the drift gets: standard deviations (covariate, seasonal) or the "
            "share of rows.",
        ),
    ] = 0.5,
    retrain: Annotated[
        bool,
        Option(
            "--retrain",
            help="Retrain where something is found, at most once a quarter; one decision in "
            "fifty is left to chance.",
        ),
    ] = False,
    seed: int = 0,
    parameter: Parameters = None,
) -> None:
    """Play months of the task's traffic with drift put in, in var/simulated: what monitoring finds,
    and what retraining wins back."""
    from ..data.joins import examples
    from ..decision.amounts import volume
    from ..operate.simulate import EXPLORE, Scenario, drift_named, sandbox
    from ..operate.simulate import simulate as play
    from ..task.file import read_task, task_path

    place = enter_project() / "var" / "simulated"
    definition, values = read_task(task_path(task)), checked_parameters(parameter)
    name, explore = definition.name, EXPLORE if retrain else 0.0
    scenario = Scenario(
        examples(definition), months, volume(definition), drift_named(drift), size, explore, seed
    )
    print(f"month  drift  {definition.value.currency} a decision  found")
    with sandbox(place / name, name) as database:
        played = play(database, name, scenario, values if retrain else None)
        first = print_months(played, scenario.decisions, months)
    end = "No drift was found." if drift != "none" else "There was no drift to find."
    if first:
        strength = f"when its strength was {first.drift:.2g}"
        end = f"The drift was found in month {first.number}, {strength}."
    print(end)


def print_months(played: "Iterable[Month]", decisions: int, months: int) -> "Month | None":
    """A line for each month of so many decisions; the first in which a drift was found."""
    from .screen import RowsDisplay

    first = None
    with RowsDisplay() as show:
        for month in played:
            show(month.number * decisions, months * decisions)
            first = first or (month if month.findings and month.drift else None)
            words = "; ".join(f"{name}: {words}" for name, words in month.findings.items())
            figures = f"{month.number:>5}  {month.drift:>5.2f}  {month.money:>12,.4g}"
            print(f"{figures}  {words or 'nothing'}", flush=True)
            if month.retraining:
                print(f"       {month.retraining}", flush=True)
    return first
