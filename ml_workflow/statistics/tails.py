"""Is the difference of two means near enough to normal for its bounds to hold."""

import numpy as np
from numpy.typing import ArrayLike

from .checks import check_numbers

NORMAL = 1 / np.sqrt(355)
"""Skewness up to which a 95 % interval holds (Kohavi et al. 2014: n > 355 x skewness^2)."""


def skewness_of_difference(*arms: tuple[float, float, float]) -> float:
    """Skewness of the difference of two means, from units, variance, third moment of each arm."""
    control, treatment = (third / units**2 for units, _, third in arms)
    spread = sum(variance / units for units, variance, _ in arms)
    return float(abs(treatment - control) / spread**1.5) if spread > 0 else 0.0


def units_for_tails(control: ArrayLike, treatment: ArrayLike, share: float) -> int:
    """Units in both arms from which the bounds of the difference of their means hold.

    control and treatment are the metric of past units as either arm would have it, shape (units,);
    share of the units is the treatment's. One arm alone would need 355 x skewness^2.
    """
    arms = []
    for part, values in ((1 - share, control), (share, treatment)):
        y = check_numbers(values, "values")
        y = y - y.mean()
        arms.append((part, float((y**2).mean()), float((y**3).mean())))
    return int(np.ceil((skewness_of_difference(*arms) / NORMAL) ** 2))
