"""Drift is told from sampling, for numbers, categories and missing values."""

import numpy as np
import pytest

from ml_workflow.statistics.drift import (
    compare_categories,
    compare_numbers,
    counts_of_numbers,
    drifted,
    edges_of,
)

G = np.random.default_rng(0)
REFERENCE = G.normal(size=24_000)


def test_rare_categories_do_not_make_alarms() -> None:
    many = dict.fromkeys(range(1000), 1)
    assert compare_categories({**many, "usual": 20_000}, {"usual": 5_000, 5: 200}).p_value < 1e-10
    assert (
        compare_categories(
            {**many, "usual": 20_000}, {**dict.fromkeys(range(238), 1), "usual": 4_762}
        ).p_value
        > 0.001
    )


def test_bins_hold_equal_shares_and_missing_ones_stand_last() -> None:
    edges = edges_of(REFERENCE)
    counts = counts_of_numbers(np.append(REFERENCE, [np.nan, np.nan]), edges)
    assert counts[:-1] == pytest.approx(np.full(10, 2_400), abs=1)
    assert counts[-1] == 2
    infinite = counts_of_numbers(np.array([1.0, 2.0, np.inf, -np.inf]), np.array([1.0]))
    assert infinite.tolist() == [2, 2, 0]


def test_windows_without_drift_seldom_alarm_and_moved_ones_always_do() -> None:
    alarms = 0
    for _ in range(60):
        shifts = {str(c): compare_numbers(REFERENCE, G.normal(size=5_000)) for c in range(23)}
        alarms += bool(drifted(shifts, minimum=0))
        shifts["moved"] = compare_numbers(REFERENCE, G.normal(0.3, 1, 5_000))
        assert "moved" in drifted(shifts)
    assert alarms <= 4


def test_a_huge_window_does_not_alarm_on_nothing() -> None:
    shift = compare_numbers(G.normal(size=2_000_000), G.normal(0.03, 1, 2_000_000))
    assert shift.p_value < 1e-10
    assert not drifted({"a": shift})


def test_a_column_that_breaks_upstream_is_seen() -> None:
    window = REFERENCE[:5_000].copy()
    for lost in (slice(0, 500), slice(None)):
        window[lost] = np.nan
        assert drifted({"a": compare_numbers(REFERENCE, window)}) == ["a"]


def test_a_new_category_is_seen() -> None:
    shift = compare_categories({"a": 5_000, "b": 5_000}, {"a": 900, "b": 900, "c": 200})
    assert drifted({"city": shift}) == ["city"]


def test_what_cannot_drift_gets_a_sentence() -> None:
    assert drifted({}) == []
    with pytest.raises(ValueError, match="no finite number"):
        compare_numbers([np.nan], [1.0])
    with pytest.raises(ValueError, match="the reference and the window need rows"):
        compare_numbers([1.0], [])
