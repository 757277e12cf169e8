"""What an effect is worth to the person who pays: return, payback and chance of loss."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from ..decision.amounts import volume
from ..errors import Refusal
from ..statistics.checks import Floats, Interval
from ..statistics.effects import Effect
from ..task.definition import Task

LEVEL = 0.95
"""Of the intervals that go in and come out."""
DRAWS = 20_000


class Return(NamedTuple):
    """The return on a process over its horizon, each as an interval but the last."""

    roi: Interval  # (net value a month x horizon - build cost) / build cost: 1.0 doubles the money
    net_value_per_month: Interval  # currency a month, net of the cost of running
    payback_months: Interval  # build cost / net value a month; inf where it never pays back
    chance_of_loss: float  # probability that at the horizon there is less money than without it


def return_on(effect: Interval, inputs: Mapping[str, Interval], horizon_months: float) -> Return:
    """Return of an effect in currency a decision; bounds are at LEVEL.

    Inputs: decisions_per_month, build_cost (above 0), run_cost_per_month. All are independent and
    normal, with the two sides of an interval of their own width (two-piece normal); a Latin
    hypercube (McKay et al. 1979) of seeded draws carries them through.
    """
    generator = np.random.default_rng(0)
    intervals = {"effect": effect, **inputs}
    draws = {name: _draws(interval, generator) for name, interval in intervals.items()}
    build = np.maximum(draws["build_cost"], 1e-3 * inputs["build_cost"].estimate)
    net = np.maximum(draws["decisions_per_month"], 0) * draws["effect"]
    net -= draws["run_cost_per_month"]
    payback = np.where(net > 0, build / np.where(net > 0, net, 1), np.inf)
    roi = (net * horizon_months - build) / build
    return Return(_bounds(roi), _bounds(net), _bounds(payback), float(np.mean(roi[1:] < 0)))


def _draws(interval: Interval, generator: np.random.Generator) -> Floats:
    """The estimate, and draws of one input: one from each of as many equal slices, shuffled."""
    lower, estimate, upper = interval
    slices = (generator.permutation(DRAWS) + 0.5) / DRAWS if lower < upper else np.full(DRAWS, 0.5)
    z = np.append(0.0, stats.norm.ppf(slices) / stats.norm.isf((1 - LEVEL) / 2))
    return estimate + np.where(z > 0, upper - estimate, estimate - lower) * z


def _bounds(draws: Floats) -> Interval:
    """The estimate, which comes first, between the percentiles of its draws (maybe infinite)."""
    tail = (1 - LEVEL) / 2
    lower, upper = np.quantile(draws[1:], [tail, 1 - tail], method="nearest").tolist()
    return Interval(lower, float(draws[0]), upper)


def worth_of_effect(task: Task, effect: Effect) -> dict[str, Any]:
    """The figures of an effect by their names in decision.json; [lower, estimate, upper] or one.

    Net value a month and, where the task states values and costs, ROI, payback in months (None
    where it never comes) and the chance of loss. Net value and ROI carry the bounds of the look,
    the chance of loss takes the effect as it stands today. Refusal for an uncertain range that
    does not hold what the task says.
    """
    value, uncertain = task.value, task.abtest.model_dump()["uncertain"]
    inputs, horizon = {}, task.success.horizon_months
    for name, known in (
        ("decisions_per_month", float(volume(task))),
        ("build_cost", value.build_cost or 1.0),
        ("run_cost_per_month", value.run_cost_per_month),
    ):
        lower, upper = uncertain.get(name, (known, known))
        if not -np.inf < lower <= known <= upper < np.inf:
            raise Refusal(
                f"abtest.uncertain.{name} is from {lower:g} to {upper:g}, and the task says "
                f"{known:g}: give a range that holds it."
            )
        inputs[name] = Interval(lower, known, upper)
    at_look = return_on(effect.interval, inputs, horizon)
    figures: dict[str, Any] = {"net_value_per_month": list(at_look.net_value_per_month)}
    if not (task.has_values and value.build_cost and value.decisions_per_month):
        return figures
    half, difference = 1.96 * effect.standard_error, effect.difference
    today = return_on(Interval(difference - half, difference, difference + half), inputs, horizon)
    payback = [months if np.isfinite(months) else None for months in at_look.payback_months]
    return figures | {
        "roi": list(at_look.roi),
        "payback_months": payback[1],
        "payback_bounds": payback,
        "chance_of_loss": today.chance_of_loss,
    }
