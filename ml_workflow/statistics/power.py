"""How many units, how small an effect: before an experiment starts."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from .bounds import RESERVE, crossing_probability, spending_bounds
from .checks import Floats

ALPHA = 0.05  # error allowed over all looks, two-sided unless sides is 1
POWER = 0.8  # probability of seeing the effect planned for


class Design(NamedTuple):
    """What is promised by a plan; the defaults are the usual ones."""

    sides: int = 2  # 2: better or worse; 1: better only
    share: float = 0.5  # of the units that treatment gets
    looks: int = 1  # planned looks at even steps, O'Brien-Fleming spending; 1 is a fixed test
    variance_left: float = 1.0  # share that the covariate leaves: 1 - correlation^2 (CUPED)

    @property
    def information(self) -> float:
        """What a unit adds to 1 / variance of the difference, in 1 / deviation^2."""
        return self.share * (1 - self.share) / self.variance_left


USUAL = Design()


def size_for_mean(effect: float, deviation: float, design: Design = USUAL) -> int:
    """Units in both arms to see a difference of effect where they deviate by deviation.

    Both are in the metric's unit and not 0. For a ratio or a mean of clustered rows take the
    deviation by the delta method.
    """
    total = (_drift(design) * deviation / effect) ** 2 / design.information
    return round(total * (1 - design.share)) + round(total * design.share)


def detectable_effect(units: float, deviation: float, design: Design = USUAL) -> float:
    """Smallest difference, in the metric's unit, that units in both arms together see."""
    return deviation * _drift(design) / float(np.sqrt(units * design.information))


def power_for_mean(
    units: ArrayLike, effect: float, deviation: float, design: Design = USUAL
) -> Floats:
    """Power, shape of units, to see a difference of effect with units in both arms together.

    Each number of units is a plan of its own: a curve over days.
    """
    n = np.asarray(units, dtype=np.float64)
    drifts = abs(effect) / deviation * np.sqrt(n * design.information)
    return np.vectorize(lambda drift: _crossing(drift, design), otypes=[np.float64])(drifts)


@lru_cache(maxsize=256)
def _drift(design: Design) -> float:
    """The expected z at the end that gives the design's power."""
    return float(optimize.brentq(lambda drift: _crossing(drift, design) - POWER, 0, 20))


def _crossing(drift: float, design: Design) -> float:
    """Probability of a finding when z is expected to end at drift."""
    if design.looks == 1:
        critical = stats.norm.isf(ALPHA / design.sides)
        other_side = stats.norm.cdf(-critical - drift) if design.sides == 2 else 0.0
        return float(stats.norm.sf(critical - drift) + other_side)
    fractions = np.arange(1, design.looks + 1) / design.looks
    bounds = spending_bounds(fractions, alpha=ALPHA * 2 / design.sides * (1 - RESERVE))
    return float(crossing_probability(fractions, bounds, drift).sum())
