"""Plans against statsmodels, and against simulated experiments."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from ml_workflow.statistics.power import (
    Design,
    days_for,
    detectable_effect,
    power_for_mean,
    size_for_mean,
    variance_left,
)
from ml_workflow.statistics.sums import sums_of


def h(base: float, changed: float) -> float:
    """The effect between two rates in standard deviations (Cohen 1988)."""
    return abs(float(proportion_effectsize(changed, base)))


def test_ten_against_eleven_per_cent_needs_14744_an_arm() -> None:
    assert size_for_mean(h(0.10, 0.11), 1) == (14_744, 14_744)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_size_agrees_with_statsmodels(sides: int, share: float) -> None:
    theirs = NormalIndPower().solve_power(
        proportion_effectsize(0.23, 0.2),
        alpha=0.05,
        power=0.9,
        ratio=share / (1 - share),
        alternative="two-sided" if sides == 2 else "larger",
    )
    ours = size_for_mean(h(0.2, 0.23), 1, Design(power=0.9, sides=sides, share=share))
    assert ours.control == pytest.approx(theirs, abs=1)
    assert ours.treatment == pytest.approx(theirs * share / (1 - share), abs=1)


def test_power_agrees_with_statsmodels() -> None:
    units = np.array([1_000, 10_000, 40_000])
    theirs = NormalIndPower().power(proportion_effectsize(0.11, 0.10), units / 2, 0.05)
    assert power_for_mean(units, h(0.10, 0.11), 1) == pytest.approx(theirs, abs=1e-8)


def test_size_effect_and_power_are_each_others_inverse() -> None:
    design = Design(share=0.3, looks=5, variance_left=0.6)
    size = size_for_mean(10, 200, design)
    assert detectable_effect(size.total, 200, design) == pytest.approx(10, rel=1e-3)
    assert power_for_mean([size.total], 10, 200, design) == pytest.approx([0.8], abs=1e-3)


def test_cuped_saves_its_share_of_the_units() -> None:
    assert size_for_mean(1, 10, Design(variance_left=0.5)).total == pytest.approx(
        size_for_mean(1, 10).total / 2, abs=2
    )


def test_twenty_looks_cost_few_units_and_give_the_power_they_promise() -> None:
    design = Design(looks=20)
    from ml_workflow.statistics.bounds import planned_bounds

    total = size_for_mean(1, 10, design).total
    drift = 0.1 * np.sqrt(total / 4)
    steps = np.random.default_rng(0).normal(drift / 20, 1 / np.sqrt(20), (20_000, 20))
    z = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, 21) / 20)
    assert np.mean((np.abs(z) > planned_bounds(20)).any(axis=1)) == pytest.approx(0.8, abs=0.01)


def test_one_sided_looks_hold_their_side() -> None:
    assert power_for_mean([1], 1e-9, 1, Design(sides=1))[0] == pytest.approx(0.05, abs=1e-6)


def test_days_wait_for_the_last_outcome() -> None:
    size = size_for_mean(h(0.10, 0.11), 1)
    assert days_for(size.total, 1_000) == 30
    assert days_for(size.total, 1_000, delay=30) == 60


def test_past_sums_tell_what_cuped_will_leave() -> None:
    g = np.random.default_rng(0)
    x = g.normal(size=50_000)
    y = 0.7 * x + np.sqrt(0.51) * g.normal(size=50_000)
    sums = sums_of(y, covariate=x)
    assert variance_left(sums) == pytest.approx(1 - stats.pearsonr(x, y)[0] ** 2)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: size_for_mean(0, 10), "the effect is 0"),
        (lambda: size_for_mean(1, 0), "deviation is 0"),
        (lambda: size_for_mean(1, 1, Design(share=1)), "share is 1"),
        (lambda: size_for_mean(1, 1, Design(power=0.01)), "power is 0.01"),
        (lambda: size_for_mean(1, 1, Design(sides=3)), "sides is 3"),
        (lambda: size_for_mean(1, 1, Design(looks=0)), "looks is 0"),
        (lambda: size_for_mean(1, 1, Design(variance_left=0)), "variance_left is 0"),
        (lambda: variance_left(sums_of([1.0, 2.0])), "does not vary"),
    ],
)
def test_wrong_arguments_get_a_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
