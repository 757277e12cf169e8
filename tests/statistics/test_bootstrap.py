"""The bootstrap's interval against its theory, and its promises of speed and repeatability."""

import time

import numpy as np
import pytest
from scipy import stats

from ml_workflow.statistics.bootstrap import interval_of_mean

MONEY = np.random.default_rng(1).normal(170, 4000, size=24_000)


def test_interval_agrees_with_scipys_bootstrap() -> None:
    theirs = stats.bootstrap((MONEY[:500],), np.mean, n_resamples=5000, method="percentile", rng=0)
    ours = interval_of_mean(MONEY[:500], resamples=5000)
    bounds = theirs.confidence_interval
    assert (ours.lower, ours.upper) == pytest.approx(bounds, abs=0.1 * theirs.standard_error)


def test_interval_is_the_same_for_the_same_seed_only() -> None:
    assert interval_of_mean(MONEY[:100], seed=3) == interval_of_mean(MONEY[:100], seed=3)
    assert interval_of_mean(MONEY[:100], seed=3) != interval_of_mean(MONEY[:100], seed=4)


def test_bootstrap_of_24000_rows_is_fast() -> None:
    started = time.process_time()
    interval_of_mean(MONEY, resamples=2000)
    assert time.process_time() - started < 2  # 0.4 s where nothing else runs


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([1.0], "at least 2 are needed"),
        ([1.0, np.nan], "the first in row 1"),
        ([[1.0, 2.0]], "2 dimensions"),
    ],
)
def test_wrong_arguments_get_a_sentence(values: list, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        interval_of_mean(values)
