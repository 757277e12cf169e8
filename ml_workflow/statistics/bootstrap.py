"""Percentile bootstrap of a mean: how sure is the money per row, whatever its distribution."""

import numpy as np
from numpy.typing import ArrayLike

from .checks import Interval, check_numbers

BLOCK = 1 << 18  # draws held in memory at once: about 2 MB of numbers, which stay in the cache


def interval_of_mean(
    values: ArrayLike, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Percentile interval (Efron 1979) of the mean of values, shape (n,), in their unit.

    (1 - level) / 2 of the resampled means lie outside on each side. For paired processes give the
    difference of money per row. Raises ValueError under two rows or for non-finite ones.
    """
    money = check_numbers(values, "values", at_least=2)
    tail = (1 - level) / 2
    generator, size = np.random.default_rng(seed), len(money)
    block = max(1, BLOCK // size)
    means = []
    for start in range(0, resamples, block):
        shape = (min(block, resamples - start), size)
        rows = generator.integers(0, size, size=shape, dtype=np.int64)
        means.append(money.take(rows).mean(axis=1))
    lower, upper = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(float(lower), float(money.mean()), float(upper))
