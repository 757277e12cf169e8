"""Percentile bootstrap of a mean: how sure is the money per row, without assuming its distribution."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import Floats, Interval, check_between, check_numbers

BLOCK = 1 << 18  # draws held in memory at once: about 2 MB of numbers, which stay in the cache


def interval_of_mean(
    values: ArrayLike, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Percentile interval (Efron 1979) of the mean of values, shape (n,), in their unit.

    For paired processes give the difference of money per row. Raises ValueError under two rows or for
    non-finite ones.
    """
    money = check_numbers(values, "values", at_least=2)
    draws = _resampled(len(money), lambda rows: money.take(rows).mean(axis=1), resamples, seed)
    return _percentiles(float(money.mean()), draws, level)


def _resampled(
    size: int, statistic: Callable[[NDArray[np.integer]], Floats], resamples: int, seed: int
) -> Floats:
    """The statistic of each of resamples draws of size items, shape (resamples,), a block of draws at a time."""
    if resamples < 100:
        raise ValueError(
            f"resamples is {resamples}; at least 100 are needed for the bounds of an interval."
        )
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK // size)
    return np.concatenate(
        [
            statistic(
                generator.integers(
                    0, size, size=(min(block, resamples - start), size), dtype=np.int64
                )
            )
            for start in range(0, resamples, block)
        ]
    )


def _percentiles(estimate: float, draws: Floats, level: float) -> Interval:
    """The estimate between the percentiles of its draws that leave (1 - level) / 2 outside on each side."""
    tail = (1 - check_between(level, "level", 0, 1)) / 2
    lower, upper = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(lower), estimate, float(upper))
