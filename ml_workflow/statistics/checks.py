"""Checks of arguments, in full sentences: what was wrong, and what would be right."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate between the bounds of its interval, all in the unit of the estimate."""

    lower: float  # lower bound of the interval
    estimate: float  # the point estimate
    upper: float  # upper bound of the interval


def check_positive(value: float, name: str) -> float:
    """Return value if it is a finite number above zero; else raise ValueError."""
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}; it must be a finite number above zero.")
    return float(value)


def check_numbers(values: ArrayLike, name: str, *, at_least: int = 1) -> Floats:
    """Return values as floats, shape (n,); too few or non-finite ones raise ValueError."""
    array: NDArray[Any] = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(
            f"{name} has {array.ndim} dimensions; it must be a list of numbers, one a row."
        )
    array = array.astype(np.float64, copy=False)
    if len(array) < at_least:
        raise ValueError(f"{name} has {len(array)} rows; at least {at_least} are needed.")
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise ValueError(
            f"{name} holds {len(bad)} missing or infinite numbers, the first in row {bad[0]}; "
            "every row needs a finite number."
        )
    return array


def where(condition: Any, yes: Any, no: Any) -> Any:
    """`numpy.where` that gives a number for numbers: a formula then serves numbers and arrays."""
    return np.where(condition, yes, no)[()]
