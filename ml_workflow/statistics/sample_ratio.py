"""Sample ratio mismatch: units that stand in the arms in other shares than they were assigned."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import gammaln

from .checks import Floats

MISMATCH_ONCE = 0.001  # p below which one final look at the sample ratio raises the alarm
MISMATCH_WATCHED = 0.002  # always-valid p below which watching it at any number of looks does
CONCENTRATION = 1000.0  # units that the prior of the watch is worth; 2 to 3 % lost is told best


class SampleRatio(NamedTuple):
    """Units of all phases against the shares that they should have."""

    is_mismatch: bool  # the split is broken, no effect can be trusted
    p_value: float  # the least of all looks, times the number of phases
    worst: int  # the phase that departs most, from 0


def sample_ratio(daily: Sequence[ArrayLike], weights: Sequence[Sequence[float]]) -> SampleRatio:
    """The sample ratio at the end, in each phase, and watched from day to day.

    daily holds the units of each phase by day of exposure, shape (days, arms), weights the shares
    of its arms.
    """
    phases, once, watched = len(daily), [], []
    ends = [np.sum(counts, axis=0) for counts in daily]
    for counts, end, shares in zip(daily, ends, weights, strict=True):
        once.append(phases * mismatch_p(end, shares))
        watched.append(phases * mismatch_p_watched(np.cumsum(counts, axis=0), shares)[-1])
    overall = mismatch_p(ends, weights)
    is_mismatch = min(overall, *once) < MISMATCH_ONCE or min(watched) < MISMATCH_WATCHED
    worst = int(np.argmin(np.minimum(once, watched)))
    return SampleRatio(bool(is_mismatch), min(overall, *once, *watched), worst)


def mismatch_p(counts: ArrayLike, weights: ArrayLike) -> float:
    """p-value of shares as far from the weights as these, for one look: alarm below MISMATCH_ONCE.

    Chi-square (Fabijan et al. 2019). counts has shape (arms,) or (phases, arms), weights likewise
    (or (arms,) for all phases); each phase has units, and its weights add up to 1.
    """
    seen = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    expected = seen.sum(axis=1, keepdims=True) * np.asarray(weights)
    statistic = float(((seen - expected) ** 2 / expected).sum())
    return float(stats.chi2.sf(statistic, len(seen) * (seen.shape[1] - 1)))


def mismatch_p_watched(looks: ArrayLike, weights: ArrayLike) -> Floats:
    """Always-valid p-value after each look, shape (looks,): alarm below MISMATCH_WATCHED.

    looks, shape (..., looks, arms), holds units so far. The inverse of a multinomial-Dirichlet
    Bayes factor (Lindon & Malek 2022) is a martingale: over any number of looks the alarm's error
    is at most its level.
    """
    seen, shares = np.asarray(looks, dtype=np.float64), np.asarray(weights)
    prior = CONCENTRATION * shares
    units = seen.sum(axis=-1)
    log_factor = (
        gammaln(CONCENTRATION)
        - gammaln(CONCENTRATION + units)
        + (gammaln(prior + seen) - gammaln(prior) - seen * np.log(shares)).sum(axis=-1)
    )
    return np.exp(-np.maximum.accumulate(np.maximum(log_factor, 0), axis=-1))
