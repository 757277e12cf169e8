"""How many units, how many days, how small an effect: before an experiment starts."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from .bounds import crossing_probability, planned_bounds
from .checks import Floats, check_between, check_positive


class Design(NamedTuple):
    """What is promised by a plan; the defaults are the usual ones."""

    alpha: float = 0.05  # error allowed over all looks, two-sided unless sides is 1
    power: float = 0.8  # probability of seeing the effect planned for
    sides: int = 2  # 2: better or worse; 1: better only
    share: float = 0.5  # of the units that treatment gets
    looks: int = 1  # planned looks at even steps, O'Brien-Fleming spending; 1 is a fixed test
    variance_left: float = 1.0  # share that the covariate leaves: 1 - correlation^2 (CUPED)


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
    """Units to see a difference of effect where they deviate by deviation, in the metric's unit.

    For a ratio or a mean of clustered rows take the deviation by the delta method. Raises
    ValueError for an effect or deviation of 0, or a design that cannot be planned.
    """
    check_positive(deviation, "deviation")
    standardised = check_positive(abs(effect) / deviation, "the effect")
    share = _checked(design).share
    total = (_drift(design) / standardised) ** 2 * design.variance_left / (share * (1 - share))
    return Size(control=round(total * (1 - share)), treatment=round(total * share))


def detectable_effect(units: float, deviation: float, design: Design = USUAL) -> float:
    """Smallest difference, in the metric's unit, that units in both arms together see."""
    check_positive(deviation, "deviation")
    check_positive(units, "units")
    d = _checked(design)
    variance = d.variance_left / (units * d.share * (1 - d.share))
    return deviation * (_drift(d) * float(np.sqrt(variance)))


def power_for_mean(
    units: ArrayLike, effect: float, deviation: float, design: Design = USUAL
) -> Floats:
    """Power, shape of units, to see a difference of effect with units in both arms together.

    Each number of units is a plan of its own: a curve over days.
    """
    standardised = abs(effect) / check_positive(deviation, "deviation")
    n = np.asarray(units, dtype=np.float64)
    d = _checked(design)
    drifts = standardised * np.sqrt(n * d.share * (1 - d.share) / d.variance_left)
    return np.vectorize(lambda drift: _crossing(drift, d), otypes=[np.float64])(drifts)


def days_for(units: float, units_per_day: float, *, delay: float = 0.0) -> int:
    """Whole days until units, at units_per_day in both arms, have their outcome (delay in days)."""
    return int(np.ceil(units / check_positive(units_per_day, "units_per_day") + delay))


@lru_cache(maxsize=256)
def _drift(design: Design) -> float:
    """The expected z at the end that gives the design's power."""
    return float(optimize.brentq(lambda drift: _crossing(drift, design) - design.power, 0, 20))


def _crossing(drift: float, design: Design) -> float:
    """Probability of a finding when z is expected to end at drift."""
    if design.looks == 1:
        critical = stats.norm.isf(design.alpha / design.sides)
        other_side = stats.norm.cdf(-critical - drift) if design.sides == 2 else 0.0
        return float(stats.norm.sf(critical - drift) + other_side)
    bounds = planned_bounds(design.looks, alpha=design.alpha * 2 / design.sides)
    fractions = np.arange(1, design.looks + 1) / design.looks
    return float(crossing_probability(fractions, bounds, drift).sum())


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
