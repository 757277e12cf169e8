"""Broken splits are seen, and sound ones left in peace."""

import numpy as np
import pytest
from scipy import stats

from ml_workflow.statistics.sample_ratio import (
    MISMATCH_ONCE,
    MISMATCH_WATCHED,
    mismatch_p,
    mismatch_p_watched,
    sample_ratio,
)

HALVES = [0.5, 0.5]


def looks(lost: float, simulations: int = 3_000) -> np.ndarray:
    """Units of (control, treatment) so far at 20 looks, a share of the treated being lost."""
    g = np.random.default_rng(0)
    control = g.binomial(2_000, 0.5, (simulations, 20))
    treatment = g.binomial(2_000 - control, 1 - lost)
    return np.cumsum(np.stack([control, treatment], axis=-1), axis=1)


def test_one_look_is_the_chi_square_of_scipy() -> None:
    assert mismatch_p([5_100, 4_900], HALVES) == pytest.approx(stats.chisquare([5_100, 4_900])[1])


def test_a_ramp_is_no_mismatch_when_judged_by_phase() -> None:
    assert mismatch_p([[9_000, 1_000], [5_000, 5_000]], [[0.9, 0.1], HALVES]) == 1
    assert mismatch_p([14_000, 6_000], HALVES) < MISMATCH_ONCE


@pytest.mark.parametrize(
    ("lost", "once", "watched"), [(0.0, (0, 0.003), (0, 0.003)), (0.05, (0.95, 1), (0.85, 1))]
)
def test_sound_splits_stay_silent_and_five_per_cent_lost_are_seen(lost, once, watched) -> None:
    ends, p = looks(lost)[:1_000, -1], mismatch_p_watched(looks(lost), HALVES)[:, -1]
    alarms = np.mean([mismatch_p(end, HALVES) < MISMATCH_ONCE for end in ends])
    assert once[0] <= alarms <= once[1]
    assert watched[0] <= np.mean(p < MISMATCH_WATCHED) <= watched[1]


def test_the_worst_phase_is_named() -> None:
    sound, broken = [[500, 500]] * 3, [[500, 400]] * 3
    assert not sample_ratio([sound, sound], [HALVES] * 2).is_mismatch
    result = sample_ratio([sound, broken], [HALVES] * 2)
    assert result.is_mismatch and result.worst == 1 and result.p_value < MISMATCH_ONCE
