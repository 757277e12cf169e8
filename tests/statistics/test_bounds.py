"""Bounds hold their error over every look, on the plan, without one and past it."""

import numpy as np
import pytest

from ml_workflow.statistics.bounds import (
    bounds_at_looks,
    crossing_probability,
    sequence_bound,
    spending,
    spending_bounds,
)


def test_bounds_are_the_published_ones() -> None:
    """ldbounds and Lan & DeMets for five looks at .05, two-sided."""
    assert spending_bounds([0.2, 0.4, 0.6, 0.8, 1.0]) == pytest.approx(
        [4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4
    )


@pytest.mark.parametrize(
    "fractions", [np.arange(1, 21) / 20, np.array([0.003, 0.5, 0.501, 0.52, 0.9999, 1.0])]
)
def test_what_is_spent_is_what_may_be_spent(fractions: np.ndarray) -> None:
    spent = np.cumsum(crossing_probability(fractions, spending_bounds(fractions)))
    assert spent == pytest.approx(spending(fractions), abs=1e-7)


def test_going_on_past_the_plan_holds_the_error_where_the_last_bound_does_not() -> None:
    steps = np.random.default_rng(0).normal(size=(20_000, 200))
    z = np.abs(np.cumsum(steps, axis=1)) / np.sqrt(np.arange(1, 201))
    units = np.arange(1, 201) * 100
    critical = np.array([bound.critical for bound in bounds_at_looks(units, planned=2_000)])
    assert np.mean((z > critical).any(axis=1)) < 0.055
    assert (
        np.mean((z[:, :40] > np.where(units > 2_000, critical[19], critical)[:40]).any(axis=1))
        > 0.08
    )


def test_thousand_looks_without_a_plan_hold_the_error() -> None:
    critical = sequence_bound(np.arange(1, 1001) / 1000)
    g = np.random.default_rng(2)
    alarms = np.zeros(4000, dtype=bool)
    walk = np.zeros(4000)
    for look in range(1000):
        walk += g.normal(size=4000)
        alarms |= np.abs(walk) / np.sqrt(look + 1) > critical[look]
    assert alarms.mean() < 0.05


def test_looks_change_their_regime_at_the_plan() -> None:
    found = bounds_at_looks([500, 1000, 2100, 2200], planned=2000)
    assert [bound.regime for bound in found] == ["planned", "planned", "planned", "overrun"]
    assert found[3].critical > found[2].critical
    # Past bounds do not change when a look is added.
    assert bounds_at_looks([500, 1000, 2100], planned=2000) == found[:3]


def test_a_look_with_nothing_to_spend_claims_nothing() -> None:
    assert bounds_at_looks([1], planned=1_000_000)[0].critical > 30


def test_a_plan_without_units_gets_a_sentence() -> None:
    with pytest.raises(ValueError, match="planned is 0"):
        bounds_at_looks([100], planned=0)
