"""Broken splits, heavy tails and immature outcomes are seen, and sound ones left in peace."""

import numpy as np
import pytest
from scipy import stats

from ml_workflow.statistics.health import (
    MISMATCH_WATCHED,
    NORMAL,
    Delay,
    delay_window,
    mature,
    matured_together,
    sample_ratio,
    sample_ratio_watched,
    share_needed,
    units_for_tails,
)


def _looks(lost: float, simulations: int = 3_000) -> np.ndarray:
    g = np.random.default_rng(0)
    control = g.binomial(2_000, 0.5, (simulations, 20))
    treatment = g.binomial(2_000 - control, 1 - lost)
    return np.cumsum(np.stack([control, treatment], axis=-1), axis=1)


def test_sample_ratio_is_the_chi_square_of_scipy() -> None:
    ours = sample_ratio([5_100, 4_900], [0.5, 0.5])
    theirs = stats.chisquare([5_100, 4_900])
    assert (ours.statistic, ours.p_value) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert ours.expected == ((5_000, 5_000),)


def test_a_ramp_is_no_mismatch_when_judged_by_phase() -> None:
    assert not sample_ratio([[9_000, 1_000], [5_000, 5_000]], [[0.9, 0.1], [0.5, 0.5]]).mismatch
    assert sample_ratio([14_000, 6_000], [0.5, 0.5]).mismatch


def test_one_look_stays_silent_on_sound_splits_and_sees_five_per_cent_lost() -> None:
    sound, broken = _looks(0)[:, -1], _looks(0.05)[:, -1]
    assert np.mean([sample_ratio(end, [0.5, 0.5]).mismatch for end in sound[:1_000]]) <= 0.003
    assert np.mean([sample_ratio(end, [0.5, 0.5]).mismatch for end in broken[:1_000]]) >= 0.95


def test_watching_over_twenty_looks_stays_silent_and_sees() -> None:
    assert np.mean(sample_ratio_watched(_looks(0), [0.5, 0.5])[:, -1] < MISMATCH_WATCHED) <= 0.003
    assert np.mean(sample_ratio_watched(_looks(0.05), [0.5, 0.5])[:, -1] < MISMATCH_WATCHED) >= 0.85


def test_watching_three_uneven_arms_never_takes_an_alarm_back() -> None:
    p = sample_ratio_watched(
        [[80, 10, 10], [800, 100, 200], [8_000, 1_000, 1_000]], [0.8, 0.1, 0.1]
    )
    assert p.shape == (3,)
    assert (np.diff(p) <= 0).all()
    assert p[0] > 0.5 > p[1]


def test_a_plan_has_the_units_that_make_a_lopsided_difference_normal() -> None:
    g = np.random.default_rng(0)
    even, lopsided = g.normal(size=200_000), g.exponential(size=200_000)
    units = units_for_tails(even, lopsided, 0.5)
    arms = [draw(size=(20_000, units // 2)).mean(axis=1) for draw in (g.normal, g.exponential)]
    assert stats.skew(arms[1] - arms[0]) == pytest.approx(NORMAL, rel=0.4)
    assert units_for_tails(even, even, 0.5) == 0 < units_for_tails(lopsided, lopsided, 0.1)
    assert units_for_tails([0.0, 0.0], [0.0, 0.0], 0.5) == 0


def test_delay_window_is_not_shortened_by_outcomes_still_under_way() -> None:
    g = np.random.default_rng(1)
    age, delay = g.uniform(0, 70, 20_000), g.exponential(7, 20_000)
    come = delay <= age
    found = delay_window(delay[come], age[come], share=0.99)
    assert found.window == pytest.approx(-7 * np.log(0.01), rel=0.15)
    assert found.mature
    assert np.quantile(delay[come], 0.99) < found.window


def test_an_experiment_shorter_than_two_windows_is_immature() -> None:
    g = np.random.default_rng(2)
    age, delay = g.uniform(0, 30, 20_000), g.exponential(7, 20_000)
    come = delay <= age
    assert not delay_window(delay[come], age[come]).mature


def test_larger_experiments_must_wait_for_more_of_their_outcomes() -> None:
    shares = [share_needed(np.sqrt(2 * 0.09 / units), 0.10) for units in (10_000, 100_000)]
    assert shares == pytest.approx([0.99364, 0.99799], abs=1e-5)


def test_both_arms_wait_for_the_slower_one() -> None:
    assert matured_together([Delay(10, 50, True), Delay(30, 50, True)]) == Delay(30, 50, False)
    assert mature([5.0, 10.0, 20.0], 10).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sample_ratio([0, 0], [0.5, 0.5]), "every phase needs units"),
        (lambda: sample_ratio([10, 10], [0.5, 0.6]), "must be shares above 0 that add up to 1"),
        (
            lambda: sample_ratio([10, 10, 10], [0.5, 0.5]),
            r"counts for \(1, 3\) and weights for \(1, 2\)",
        ),
        (lambda: units_for_tails([1.0], [2.0], 1.5), "share"),
        (lambda: delay_window([5.0], [3.0]), "between 0 and that age"),
        (lambda: matured_together([]), "no delays"),
    ],
)
def test_wrong_arguments_get_a_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
