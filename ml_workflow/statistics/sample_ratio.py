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
    of its arms. Raises as `mismatch_p`.
    """
    units = [np.asarray(counts, dtype=np.float64) for counts in daily]
    ends = [counts.sum(axis=0) for counts in units]
    overall, once, watched = mismatch_p(ends, weights), [], []
    for counts, end, shares in zip(units, ends, weights, strict=True):
        once.append(len(units) * mismatch_p(end, shares))
        watched.append(len(units) * mismatch_p_watched(counts.cumsum(axis=0), shares)[-1])
    is_mismatch = min(overall, *once) < MISMATCH_ONCE or min(watched) < MISMATCH_WATCHED
    worst = int(np.argmin(np.minimum(once, watched)))
    return SampleRatio(bool(is_mismatch), min(overall, *once, *watched), worst)


def mismatch_p(counts: ArrayLike, weights: ArrayLike) -> float:
    """p-value of shares as far from the weights as these, for one look: alarm below MISMATCH_ONCE.

    Chi-square (Fabijan et al. 2019). counts has shape (arms,) or (phases, arms), weights likewise
    (or (arms,) for all phases), each phase adding up to 1. Raises ValueError for no units or no
    shares.
    """
    seen = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    shares = _shares(weights)
    if shares.shape[1] != seen.shape[1] or len(shares) not in (1, len(seen)):
        raise ValueError(
            f"There are counts for {seen.shape} and weights for {shares.shape} (phases, arms)."
        )
    if not (np.isfinite(seen).all() and (seen >= 0).all() and (seen.sum(axis=1) > 0).all()):
        raise ValueError(
            f"The counts are {seen.tolist()}; every phase needs units, and no count is negative."
        )
    expected = seen.sum(axis=1, keepdims=True) * shares
    statistic = float(((seen - expected) ** 2 / expected).sum())
    return float(stats.chi2.sf(statistic, len(seen) * (seen.shape[1] - 1)))


def mismatch_p_watched(looks: ArrayLike, weights: ArrayLike) -> Floats:
    """Always-valid p-value after each look, shape (looks,): alarm below MISMATCH_WATCHED.

    looks, shape (..., looks, arms), holds units so far. The inverse of a multinomial-Dirichlet
    Bayes factor (Lindon & Malek 2022) is a martingale: over any number of looks the alarm's error
    is at most its level.
    """
    seen, shares = np.asarray(looks, dtype=np.float64), _shares(weights)[0]
    prior = CONCENTRATION * shares
    units = seen.sum(axis=-1)
    log_factor = (
        gammaln(CONCENTRATION)
        - gammaln(CONCENTRATION + units)
        + (gammaln(prior + seen) - gammaln(prior) - seen * np.log(shares)).sum(axis=-1)
    )
    return np.exp(-np.maximum.accumulate(np.maximum(log_factor, 0), axis=-1))


def _shares(weights: ArrayLike) -> Floats:
    """Weights as shares above 0 of two or more arms, (phases, arms); else raise ValueError."""
    shares = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    whole = np.allclose(shares.sum(axis=1), 1, atol=1e-9)
    if shares.shape[1] < 2 or not (shares > 0).all() or not whole:
        raise ValueError(
            f"The weights are {shares.tolist()}; they must be shares above 0 that add up to 1."
        )
    return shares
