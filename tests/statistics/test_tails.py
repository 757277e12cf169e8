"""A plan has the units that make a lopsided difference normal."""

import numpy as np
import pytest
from scipy import stats

from ml_workflow.statistics.tails import NORMAL, units_for_tails


def test_a_plan_has_the_units_that_make_a_lopsided_difference_normal() -> None:
    g = np.random.default_rng(0)
    even, lopsided = g.normal(size=200_000), g.exponential(size=200_000)
    units = units_for_tails(even, lopsided, 0.5)
    arms = [draw(size=(20_000, units // 2)).mean(axis=1) for draw in (g.normal, g.exponential)]
    assert stats.skew(arms[1] - arms[0]) == pytest.approx(NORMAL, rel=0.4)
    assert units_for_tails(even, even, 0.5) == 0 < units_for_tails(lopsided, lopsided, 0.1)
    assert units_for_tails([0.0, 0.0], [0.0, 0.0], 0.5) == 0
