"""Plans against statsmodels, and against simulated experiments."""

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from ml_workflow.statistics.bounds import RESERVE, spending_bounds
from ml_workflow.statistics.power import (
    Design,
    detectable_effect,
    power_for_mean,
    size_for_mean,
)

STEP = float(proportion_effectsize(0.11, 0.10))
"""From a rate of 10 to one of 11 %, in standard deviations (Cohen 1988)."""


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_size_agrees_with_statsmodels(sides: int, share: float) -> None:
    theirs = NormalIndPower().solve_power(
        STEP,
        alpha=0.05,
        power=0.8,
        ratio=share / (1 - share),
        alternative="two-sided" if sides == 2 else "larger",
    )
    ours = size_for_mean(STEP, 1, Design(sides=sides, share=share))
    assert ours == pytest.approx(theirs / (1 - share), abs=1)


def test_power_agrees_with_statsmodels() -> None:
    units = np.array([1_000, 10_000, 40_000])
    theirs = NormalIndPower().power(STEP, units / 2, 0.05)
    assert power_for_mean(units, STEP, 1) == pytest.approx(theirs, abs=1e-8)


def test_size_effect_and_power_are_each_others_inverse() -> None:
    design = Design(share=0.3, looks=5, variance_left=0.6)
    size = size_for_mean(10, 200, design)
    assert detectable_effect(size, 200, design) == pytest.approx(10, rel=1e-3)
    assert power_for_mean([size], 10, 200, design) == pytest.approx([0.8], abs=1e-3)


def test_twenty_looks_cost_few_units_and_give_the_power_they_promise() -> None:
    drift = 0.1 * np.sqrt(size_for_mean(1, 10, Design(looks=20)) / 4)
    steps = np.random.default_rng(0).normal(drift / 20, 1 / np.sqrt(20), (20_000, 20))
    z = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, 21) / 20)
    bounds = spending_bounds(np.arange(1, 21) / 20, alpha=0.05 * (1 - RESERVE))
    assert np.mean((np.abs(z) > bounds).any(axis=1)) == pytest.approx(0.8, abs=0.01)
