"""How many units, how many days, how small an effect: the plan of an experiment before it starts."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from .bounds import crossing_probability, planned_bounds
from .checks import Floats, check_between, check_positive
from .sums import Sums


class Design(NamedTuple):
    """What is promised by a plan; the defaults are the usual ones."""

    alpha: float = 0.05  # error allowed over all looks, two-sided unless sides is 1
    power: float = 0.8  # probability of seeing the effect planned for
    sides: int = 2  # 2: better or worse; 1: better only
    share: float = 0.5  # of the units that treatment gets
    looks: int = 1  # planned looks at even steps, O'Brien-Fleming spending; 1 is a fixed test
    variance_left: float = (
        1.0  # share of the variance that the covariate leaves: 1 - correlation^2 (CUPED)
    )


USUAL = Design()


class Size(NamedTuple):
    """Units that a plan needs."""

    control: int  # units in the control arm
    treatment: int  # units in the treatment arm

    @property
    def total(self) -> int:
        """Units in both arms."""
        return self.control + self.treatment


def size_for_mean(effect: float, deviation: float, design: Design = USUAL) -> Size:
    """Units to see a difference of effect where units deviate by deviation, both in the metric's unit.

    For a ratio or a mean of clustered rows take the deviation by the delta method.
    """
    check_positive(deviation, "deviation")
    return _size(abs(effect) / deviation, design)


def detectable_effect(units: float, deviation: float, design: Design = USUAL) -> float:
    """Smallest difference, in the metric's unit, that units in both arms together see with the design's power."""
    check_positive(deviation, "deviation")
    return deviation * _detectable(units, design)


def power_for_mean(
    units: ArrayLike, effect: float, deviation: float, design: Design = USUAL
) -> Floats:
    """Power, shape of units, to see a difference of effect with units in both arms together: a curve over days."""
    check_positive(deviation, "deviation")
    return _power(units, abs(effect) / deviation, design)


def days_for(units: float, units_per_day: float, *, delay: float = 0.0) -> int:
    """Whole days until the plan's units, at units_per_day in both arms, have their outcome (delay in days)."""
    return int(np.ceil(units / check_positive(units_per_day, "units_per_day") + delay))


def variance_left(sums: Sums) -> float:
    """Share of the variance that the covariate of past sums would leave: 1 - correlation^2 (Deng et al. 2013)."""
    if not (sums.variance > 0 and sums.covariate_variance > 0):
        raise ValueError(
            "The metric or the covariate does not vary; CUPED's gain cannot be told from these sums."
        )
    return float(1 - sums.covariance**2 / sums.variance / sums.covariate_variance)


def _size(standardised: float, design: Design) -> Size:
    """Units for an effect in standard deviations."""
    check_positive(standardised, "the effect")
    d = _checked(design)
    total = (_drift(d) / standardised) ** 2 * d.variance_left / (d.share * (1 - d.share))
    return Size(control=round(total * (1 - d.share)), treatment=round(total * d.share))


def _detectable(units: float, design: Design) -> float:
    """The effect, in standard deviations, seen by units in both arms."""
    d = _checked(design)
    return _drift(d) * float(
        np.sqrt(d.variance_left / (check_positive(units, "units") * d.share * (1 - d.share)))
    )


def _power(units: ArrayLike, standardised: float, design: Design) -> Floats:
    """Power by units in both arms, where each number of units is a plan of its own."""
    d = _checked(design)
    n = np.asarray(units, dtype=np.float64)
    drifts = standardised * np.sqrt(n * d.share * (1 - d.share) / d.variance_left)
    return np.vectorize(
        lambda drift: _crossing(drift, d.alpha, d.sides, d.looks), otypes=[np.float64]
    )(drifts)


def _drift(design: Design) -> float:
    """The expected z at the end that gives the design's power."""
    return _drift_of(design.alpha, design.power, design.sides, design.looks)


@lru_cache(maxsize=256)
def _drift_of(alpha: float, power: float, sides: int, looks: int) -> float:
    return float(
        optimize.brentq(lambda drift: _crossing(drift, alpha, sides, looks) - power, 0, 20)
    )


def _crossing(drift: float, alpha: float, sides: int, looks: int) -> float:
    """Probability of a finding when z is expected to end at drift."""
    if looks == 1:
        critical = stats.norm.isf(alpha / sides)
        other_side = stats.norm.cdf(-critical - drift) if sides == 2 else 0.0
        return float(stats.norm.sf(critical - drift) + other_side)
    bounds = _bounds(alpha * 2 / sides, looks)
    return float(crossing_probability(np.arange(1, looks + 1) / looks, bounds, drift).sum())


@lru_cache(maxsize=64)
def _bounds(alpha: float, looks: int) -> tuple[float, ...]:
    return tuple(planned_bounds(looks, alpha=alpha).tolist())


def _checked(design: Design) -> Design:
    """Return the design if it can be planned; else raise ValueError."""
    check_between(design.alpha, "alpha", 0, 0.5)
    check_between(design.power, "power", design.alpha, 1)
    check_between(design.share, "share", 0, 1)
    if design.sides not in (1, 2):
        raise ValueError(f"sides is {design.sides}; it must be 1 or 2.")
    if design.looks < 1:
        raise ValueError(f"looks is {design.looks}; there is at least 1, the last one.")
    if not 0 < design.variance_left <= 1:
        raise ValueError(
            f"variance_left is {design.variance_left}; it must be above 0 and at most 1."
        )
    return design
