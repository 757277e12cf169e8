"""Outcomes still under way do not shorten the time that outcomes take."""

import numpy as np
import pytest

from ml_workflow.statistics.delay import Delay, delay_window, share_needed, slowest


def come(longest: float, share: float = 0.99) -> tuple[Delay, np.ndarray]:
    """The window and the delays, 7 days on average, that have come of units at most so old."""
    g = np.random.default_rng(1)
    age, delay = g.uniform(0, longest, 20_000), g.exponential(7, 20_000)
    seen = delay <= age
    return delay_window(delay[seen], age[seen], share=share), delay[seen]


def test_the_window_is_not_shortened_by_outcomes_still_under_way() -> None:
    window, delays = come(70)
    assert window.mature and window.window == pytest.approx(-7 * np.log(0.01), rel=0.15)
    assert np.quantile(delays, 0.99) < window.window


def test_an_experiment_shorter_than_two_windows_is_immature() -> None:
    assert not come(30, 0.995)[0].mature


def test_larger_experiments_must_wait_for_more_of_their_outcomes() -> None:
    shares = [share_needed(np.sqrt(2 * 0.09 / units), 0.10) for units in (10_000, 100_000)]
    assert shares == pytest.approx([0.99364, 0.99799], abs=1e-5)


def test_both_arms_wait_for_the_slower_one() -> None:
    assert slowest([Delay(10, 50, True), Delay(30, 50, True)]) == Delay(30, 50, False)
