"""Is the experiment sound, before anyone asks for its effect: sample ratio, tails, outcomes still under way."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import gammaln

from .checks import Floats, check_between, check_numbers, check_positive

MISMATCH_ONCE = 0.001  # p below which one final look at the sample ratio raises the alarm
MISMATCH_WATCHED = 0.002  # always-valid p below which watching it at any number of looks does
NORMAL = 1 / np.sqrt(
    355
)  # skewness up to which a 95 % interval holds (Kohavi et al. 2014: n > 355 x skewness^2)
SHIFT = 0.15  # standard errors by which late outcomes may move a difference: 5 % then errs in 5.3 %
CONCENTRATION = 1000.0  # units that the prior of the watch is worth; it tells 2 to 3 % lost best


class SampleRatio(NamedTuple):
    """Units by arm against the weights they should follow."""

    p_value: float  # of shares as far from the weights as these
    statistic: float  # chi-square, over all phases
    expected: tuple[tuple[float, ...], ...]  # units by phase and arm that the weights would give
    mismatch: bool  # p below MISMATCH_ONCE: the split is broken, the effect cannot be trusted


class Delay(NamedTuple):
    """How long outcomes take, corrected for those still under way."""

    window: float  # time after exposure by which the asked share of outcomes has arrived
    followed: float  # longest time that any unit has been followed
    mature: bool  # followed at least twice as long as the window, so that the tail has been seen


def sample_ratio(counts: ArrayLike, weights: ArrayLike) -> SampleRatio:
    """One final look for sample ratio mismatch by chi-square (Fabijan et al. 2019).

    counts has shape (arms,) or (phases, arms), weights likewise (or (arms,) for all phases), each phase
    adding up to 1. Raises ValueError for no units or for weights that are no shares.
    """
    seen, shares = _counts_and_weights(counts, weights)
    expected = seen.sum(axis=1, keepdims=True) * shares
    statistic = float(((seen - expected) ** 2 / expected).sum())
    p_value = float(stats.chi2.sf(statistic, len(seen) * (seen.shape[1] - 1)))
    return SampleRatio(
        p_value, statistic, tuple(map(tuple, expected.tolist())), p_value < MISMATCH_ONCE
    )


def sample_ratio_watched(looks: ArrayLike, weights: ArrayLike) -> Floats:
    """Always-valid p-value of the sample ratio after each look, shape (looks,): alarm below MISMATCH_WATCHED.

    looks, shape (..., looks, arms), holds units so far. The inverse of a multinomial-Dirichlet Bayes factor
    (Lindon & Malek 2022) is a martingale: over any number of looks the alarm's error is at most its level.
    """
    seen = np.asarray(looks, dtype=np.float64)
    shares = _shares(np.atleast_2d(np.asarray(weights, dtype=np.float64)))[0]
    prior = CONCENTRATION * shares
    units = seen.sum(axis=-1)
    log_factor = (
        gammaln(CONCENTRATION)
        - gammaln(CONCENTRATION + units)
        + (gammaln(prior + seen) - gammaln(prior) - seen * np.log(shares)).sum(axis=-1)
    )
    return np.exp(-np.maximum.accumulate(np.maximum(log_factor, 0), axis=-1))


def skewness_of_difference(*arms: tuple[float, float, float]) -> float:
    """Skewness of the difference of two arms' means, from each arm's units, variance and third central moment."""
    control, treatment = (third / units**2 for units, _, third in arms)
    spread = sum(variance / units for units, variance, _ in arms)
    return float(abs(treatment - control) / spread**1.5) if spread > 0 else 0.0


def units_for_tails(control: ArrayLike, treatment: ArrayLike, share: float) -> int:
    """Units in both arms from which the difference of their means is near enough to normal for its bounds to hold.

    control and treatment are the metric of past units as either arm would have it, shape (units,); share of the units
    is the treatment's. One arm alone would need 355 x skewness^2 (Kohavi et al. 2014).
    """
    parts = ((1 - check_between(share, "share", 0, 1), control), (share, treatment))
    centred = [(part, (y := check_numbers(values, "values")) - y.mean()) for part, values in parts]
    moments = [(part, float((y**2).mean()), float((y**3).mean())) for part, y in centred]
    return int(np.ceil((skewness_of_difference(*moments) / NORMAL) ** 2))


def share_needed(standard_error: float, value: float) -> float:
    """Share of outcomes that a window must see so that arms as slow as can be differ by at most SHIFT errors.

    standard_error is that of the planned difference, value the metric in an arm, both in its unit.
    """
    return max(
        0.5,
        1
        - SHIFT * check_positive(standard_error, "standard_error") / check_positive(value, "value"),
    )


def delay_window(delays: ArrayLike, ages: ArrayLike, *, share: float = 0.995) -> Delay:
    """Window by which a share of the outcomes that come arrives, from those that have come.

    delays, shape (outcomes,), is the time from exposure to outcome, ages that from exposure until now: young
    units show short delays only, which the estimator of right-truncated times (Lynden-Bell 1971) corrects.
    """
    check_between(share, "share", 0, 1)
    time, age = check_numbers(delays, "delays"), check_numbers(ages, "ages")
    if len(time) != len(age) or (time < 0).any() or (time > age).any():
        raise ValueError(
            "Each delay needs the age of its unit, and must lie between 0 and that age."
        )
    moments, arrivals = np.unique(time, return_counts=True)
    # At risk in reversed time: delays of at most this moment, of units old enough to show this moment.
    at_risk = np.searchsorted(np.sort(time), moments, side="right") - np.searchsorted(
        np.sort(age), moments, side="left"
    )
    factors = 1 - arrivals / at_risk
    arrived = np.append(np.cumprod(factors[:0:-1])[::-1], 1.0)
    window = float(moments[np.searchsorted(arrived, share)])
    followed = float(age.max())
    return Delay(window, followed, followed >= 2 * window)


def mature(ages: ArrayLike, window: float) -> np.ndarray:
    """Which units, shape (units,), were exposed at least a window ago. Count only their outcomes within it."""
    return check_numbers(ages, "ages") >= check_positive(window, "window")


def matured_together(arms: Sequence[Delay]) -> Delay:
    """The window that both arms need: the longest of theirs, mature only if each is."""
    if not arms:
        raise ValueError("There are no delays; give one an arm.")
    window, followed = max(arm.window for arm in arms), min(arm.followed for arm in arms)
    return Delay(window, followed, followed >= 2 * window)


def _counts_and_weights(counts: ArrayLike, weights: ArrayLike) -> tuple[Floats, Floats]:
    """Counts of shape (phases, arms) with the weights of each phase."""
    seen = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    shares = _shares(np.atleast_2d(np.asarray(weights, dtype=np.float64)))
    if shares.shape[1] != seen.shape[1] or len(shares) not in (1, len(seen)):
        raise ValueError(
            f"There are counts for {seen.shape} and weights for {shares.shape} (phases, arms)."
        )
    if not (np.isfinite(seen).all() and (seen >= 0).all() and (seen.sum(axis=1) > 0).all()):
        raise ValueError(
            f"The counts are {seen.tolist()}; every phase needs units, and no count is negative."
        )
    return seen, np.broadcast_to(shares, seen.shape)


def _shares(weights: Floats) -> Floats:
    """Return weights of shape (phases, arms) if they are shares above 0 of two or more arms; else raise ValueError."""
    if weights.shape[1] < 2 or not (
        (weights > 0).all() and np.allclose(weights.sum(axis=1), 1, atol=1e-9)
    ):
        raise ValueError(
            f"The weights are {weights.tolist()}; they must be shares above 0 that add up to 1."
        )
    return weights
