"""Several metrics, one promise: adjusted p-values, so that many tests raise few false alarms."""

import numpy as np
from numpy.typing import ArrayLike

from .checks import Floats, check_numbers


def holm(p_values: ArrayLike) -> Floats:
    """p-values, shape (tests,), that hold any false alarm at all to the level (Holm 1979)."""
    p = check_numbers(p_values, "p_values", at_least=0)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(steps, 1)[np.argsort(order)]
