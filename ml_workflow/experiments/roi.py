"""What an effect is worth to the person who pays: return, payback and chance of loss."""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from ..decision.amounts import volume
from ..statistics.checks import Floats, Interval, where
from ..statistics.effects import Effect
from ..task.definition import Task

LEVEL = 0.95
"""Of the intervals that go in and come out."""


class Return(NamedTuple):
    """The return on a process over its horizon, each as an interval but the last."""

    roi: Interval  # (net value a month x horizon - build cost) / build cost: 1.0 doubles the money
    net_value_per_month: Interval  # currency a month, net of the cost of running
    payback_months: Interval  # build cost / net value a month; inf where it never pays back
    chance_of_loss: float  # probability that at the horizon there is less money than without it


def return_on(
    effect: Interval | float,
    *,
    decisions_per_month: Interval | float,
    build_cost: Interval | float,
    run_cost_per_month: Interval | float = 0.0,
    horizon_months: float = 12.0,
    draws: int = 20_000,
) -> Return:
    """Return of an effect in currency a decision; an Interval is uncertain, its bounds at LEVEL.

    Inputs are independent and normal, with the two sides of an interval of their own width
    (two-piece normal); a Latin hypercube (McKay et al. 1979) of seeded draws carries them through.
    Raises ValueError for inputs that are not finite; horizon and cost of building are above 0.
    """
    inputs = {
        "effect": effect,
        "decisions_per_month": decisions_per_month,
        "build_cost": build_cost,
        "run_cost_per_month": run_cost_per_month,
    }
    generator, samples, points = np.random.default_rng(0), [], []
    for name, value in inputs.items():
        interval = value if isinstance(value, Interval) else Interval(value, value, value)
        samples.append(_draws(interval, name, draws, generator))
        points.append(interval.estimate)
    gain, decisions, build, run = samples
    least = points[2] * 1e-3
    uncertain = gain, np.maximum(decisions, 0), np.maximum(build, least), run
    roi, net, payback = _returns(horizon_months, *uncertain)
    estimates = _returns(horizon_months, *points)
    return Return(
        _bounds(roi, estimates[0]),
        _bounds(net, estimates[1]),
        _bounds(payback, estimates[2]),
        chance_of_loss=float(np.mean(roi < 0)),
    )


def _returns(horizon: float, gain: Any, decisions: Any, build: Any, run: Any) -> tuple[Any, ...]:
    """ROI, net value a month and payback in months, of numbers or element by element."""
    net = decisions * gain - run
    payback = where(net > 0, build / where(net > 0, net, 1), np.inf)
    return (net * horizon - build) / build, net, payback


def _draws(interval: Interval, name: str, draws: int, generator: np.random.Generator) -> Floats:
    """Draws of one input, shape (draws,): one from each of as many equal slices, shuffled."""
    lower, estimate, upper = interval
    if not (np.isfinite(interval).all() and lower <= estimate <= upper):
        raise ValueError(
            f"{name} is {interval}; it must be a finite number, or an interval with "
            "lower <= estimate <= upper."
        )
    if lower == upper:
        return np.full(draws, estimate)
    slices = (generator.permutation(draws) + 0.5) / draws
    z = stats.norm.ppf(slices) / stats.norm.isf((1 - LEVEL) / 2)
    return estimate + np.where(z > 0, upper - estimate, estimate - lower) * z


def _bounds(draws: Floats, estimate: float) -> Interval:
    """The estimate between the percentiles of its draws (which may be infinite)."""
    tail = (1 - LEVEL) / 2
    lower, upper = np.quantile(draws, [tail, 1 - tail], method="nearest")
    return Interval(float(lower), float(estimate), float(upper))


def worth_of_effect(task: Task, effect: Effect) -> dict[str, Any]:
    """The figures of an effect by their names in decision.json; [lower, estimate, upper] or one.

    Net value a month and, where the task states values and costs, ROI, payback in months (None
    where it never comes) and the chance of loss. Net value and ROI carry the bounds of the look,
    the chance of loss takes the effect as it stands today.
    """
    value, uncertain = task.value, task.abtest.uncertain
    inputs: dict[str, Any] = {
        "decisions_per_month": float(volume(task)),
        "build_cost": value.build_cost or 1.0,
        "run_cost_per_month": value.run_cost_per_month,
    }
    for name, (lower, upper) in uncertain.items():
        inputs[name] = Interval(lower, inputs[name], upper)
    inputs["horizon_months"] = task.success.horizon_months
    at_look = return_on(effect.interval, **inputs)
    figures: dict[str, Any] = {"net_value_per_month": list(at_look.net_value_per_month)}
    if not (task.has_values and value.build_cost and value.decisions_per_month):
        return figures
    half, difference = 1.96 * effect.standard_error, effect.difference
    today = return_on(Interval(difference - half, difference, difference + half), **inputs)
    payback = [months if np.isfinite(months) else None for months in at_look.payback_months]
    return figures | {
        "roi": list(at_look.roi),
        "payback_months": payback[1],
        "payback_bounds": payback,
        "chance_of_loss": today.chance_of_loss,
    }
