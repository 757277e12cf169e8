"""How long outcomes take, told from those that have come while others are still under way."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .checks import Floats

SHIFT = 0.15  # standard errors by which late outcomes may move a difference: 5 % then err in 5.3 %


class Delay(NamedTuple):
    """How long outcomes take, corrected for those still under way."""

    window: float  # time after exposure by which the asked share of outcomes has arrived
    followed: float  # longest time that any unit has been followed
    mature: bool  # followed at least twice as long as the window, so that the tail has been seen


def share_needed(standard_error: float, value: float) -> float:
    """Share of outcomes that a window must see, however much slower one arm is.

    Late outcomes then move the difference by at most SHIFT errors. standard_error is that of the
    planned difference, value the metric in an arm, both in its unit.
    """
    return max(0.5, 1 - SHIFT * standard_error / value)


def delay_window(delays: Floats, ages: Floats, *, share: float = 0.995) -> Delay:
    """Window by which a share of the outcomes that come arrives, from those that have come.

    delays, shape (outcomes,), is the time from exposure to outcome, ages that from exposure until
    now: young units show short delays only, which the estimator of right-truncated times
    (Lynden-Bell 1971) corrects. No delay is longer than its age.
    """
    times, arrivals = np.unique(delays, return_counts=True)
    # At risk in reversed time: delays of at most this time, of units old enough to show it.
    come = np.searchsorted(np.sort(delays), times, side="right")
    too_young = np.searchsorted(np.sort(ages), times, side="left")
    factors = 1 - arrivals / (come - too_young)
    arrived = np.append(np.cumprod(factors[:0:-1])[::-1], 1.0)
    window = float(times[np.searchsorted(arrived, share)])
    followed = float(ages.max())
    return Delay(window, followed, followed >= 2 * window)


def slowest(arms: Sequence[Delay]) -> Delay:
    """The window that all arms need: the longest of theirs, mature only if each is."""
    window, followed = max(arm.window for arm in arms), min(arm.followed for arm in arms)
    return Delay(window, followed, followed >= 2 * window)
