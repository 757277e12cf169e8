"""Several metrics, one promise: adjusted p-values, so that many tests raise few false alarms."""

import numpy as np
from numpy.typing import ArrayLike

from .checks import Floats, check_numbers


def holm(p_values: ArrayLike) -> Floats:
    """p-values, shape (tests,), that hold any false alarm at all to the level (Holm 1979)."""
    p, order = _in_order(p_values)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _as_given(steps, order)


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """p-values, shape (tests,), that hold the share of false alarms among alarms (1995)."""
    p, order = _in_order(p_values)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    return _as_given(np.minimum.accumulate(scaled[::-1])[::-1], order)


def _in_order(p_values: ArrayLike) -> tuple[Floats, np.ndarray]:
    """The p-values and their order, smallest first; a value outside [0, 1] raises ValueError."""
    p = check_numbers(p_values, "p_values")
    if p.min() < 0 or p.max() > 1:
        raise ValueError(
            f"p_values reach from {p.min()} to {p.max()}; they must lie between 0 and 1."
        )
    return p, np.argsort(p, kind="stable")


def _as_given(steps: Floats, order: np.ndarray) -> Floats:
    """The adjusted values, at most 1, in the order in which the p-values were given."""
    adjusted = np.empty_like(steps)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted
