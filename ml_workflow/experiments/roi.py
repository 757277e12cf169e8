"""What an effect is worth to the person who pays: return, payback and chance of loss over a horizon."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from ..statistics.checks import Floats, Interval, check_between, check_positive


class Return(NamedTuple):
    """The return on a process over its horizon, each as an interval."""

    roi: Interval  # (net value a month x horizon - build cost) / build cost, a share: 1.0 doubles the money
    net_value_per_month: Interval  # currency a month, net of the cost of running
    payback_months: Interval  # build cost / net value a month; inf where it never pays back
    chance_of_loss: (
        float  # probability that the horizon ends with less money than without the process
    )


def return_on(
    effect: Interval | float,
    *,
    decisions_per_month: Interval | float,
    build_cost: Interval | float,
    run_cost_per_month: Interval | float = 0.0,
    horizon_months: float = 12.0,
    level: float = 0.95,
    draws: int = 20_000,
    seed: int = 0,
) -> Return:
    """Return of an effect in currency a decision; an Interval is uncertain, its bounds holding at level.

    Inputs are independent and normal, with the two sides of an interval of their own width (two-piece normal);
    a Latin hypercube (McKay et al. 1979) of seeded draws carries them through.
    """
    check_between(level, "level", 0, 1)
    check_positive(horizon_months, "horizon_months")
    generator = np.random.default_rng(seed)
    gain, decisions, build, run = (
        _draws(value, name, level, draws, generator)
        for value, name in (
            (effect, "effect"),
            (decisions_per_month, "decisions_per_month"),
            (build_cost, "build_cost"),
            (run_cost_per_month, "run_cost_per_month"),
        )
    )
    points = [
        _interval(v).estimate for v in (effect, decisions_per_month, build_cost, run_cost_per_month)
    ]
    check_positive(points[2], "build_cost")
    decisions, build = np.maximum(decisions, 0), np.maximum(build, points[2] * 1e-3)
    net = decisions * gain - run
    point = points[1] * points[0] - points[3]
    roi = (net * horizon_months - build) / build
    payback = _payback(build, net)
    return Return(
        roi=_bounds(roi, (point * horizon_months - points[2]) / points[2], level),
        net_value_per_month=_bounds(net, point, level),
        payback_months=_bounds(payback, points[2] / point if point > 0 else float("inf"), level),
        chance_of_loss=float(np.mean(roi < 0)),
    )


def _payback(build: Floats, net: Floats) -> Floats:
    """Months until the build cost has come back; inf where the net value is not above zero."""
    return np.where(net > 0, build / np.where(net > 0, net, 1), np.inf)


def _interval(value: Interval | float) -> Interval:
    """A certain value as an interval without width."""
    return (
        value if isinstance(value, Interval) else Interval(float(value), float(value), float(value))
    )


def _draws(
    value: Interval | float, name: str, level: float, draws: int, generator: np.random.Generator
) -> Floats:
    """Draws of one input, shape (draws,): one from each of as many equal slices of its distribution, shuffled."""
    lower, estimate, upper = _interval(value)
    if not (np.isfinite([lower, estimate, upper]).all() and lower <= estimate <= upper):
        raise ValueError(
            f"{name} is {value}; it must be a finite number, or an interval with lower <= estimate <= upper."
        )
    if lower == upper:
        return np.full(draws, estimate)
    z = stats.norm.ppf((generator.permutation(draws) + 0.5) / draws) / stats.norm.isf(
        (1 - level) / 2
    )
    return estimate + np.where(z > 0, upper - estimate, estimate - lower) * z


def _bounds(draws: Floats, estimate: float, level: float) -> Interval:
    """The estimate between the percentiles of its draws (which may be infinite)."""
    tail = (1 - level) / 2
    lower, upper = np.quantile(draws, [tail, 1 - tail], method="nearest")
    return Interval(float(lower), float(estimate), float(upper))
