"""Effects against statsmodels and tea-tasting, and simulations of what goes wrong without them."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import tea_tasting as tt
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from ml_workflow.statistics.effects import (
    at_bound,
    effect_of,
    heterogeneity,
    non_inferiority,
    stratified_effect,
)
from ml_workflow.statistics.sums import Sums, sums_of

G = np.random.default_rng(7)
N = 20_000
ARM = np.arange(N) % 2
X = G.normal(5, 2, N)
D = 1.0 + G.poisson(3, N)
Y = 0.7 * X + G.normal(3, 1.5, N) + 0.1 * ARM
FRAME = pd.DataFrame({"variant": ARM, "y": Y, "x": X, "d": D, "z": Y * D})
C, T = ARM == 0, ARM == 1


def _rates(successes: np.ndarray, units: float) -> Sums:
    n = np.full(successes.shape, float(units))
    return Sums(n, successes, successes, n, n, successes)


def _same(ours, theirs) -> None:
    assert ours.control == pytest.approx(theirs.control, abs=1e-4)
    assert ours.treatment == pytest.approx(theirs.treatment, abs=1e-4)
    assert ours.difference == pytest.approx(theirs.effect_size, abs=1e-4)
    assert ours.lower == pytest.approx(theirs.effect_size_ci_lower, abs=1e-4)
    assert ours.upper == pytest.approx(theirs.effect_size_ci_upper, abs=1e-4)
    assert ours.lift == pytest.approx(theirs.rel_effect_size, abs=1e-4)
    assert ours.lift_lower == pytest.approx(theirs.rel_effect_size_ci_lower, abs=1e-4)
    assert ours.lift_upper == pytest.approx(theirs.rel_effect_size_ci_upper, abs=1e-4)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=1e-4)


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_mean_agrees_with_tea_tasting(alternative: str) -> None:
    theirs = tt.Experiment(m=tt.Mean("y", alternative=alternative)).analyze(FRAME)["m"]
    _same(effect_of(sums_of(Y[C]), sums_of(Y[T]), alternative=alternative), theirs)


def test_cuped_agrees_with_tea_tasting() -> None:
    theirs = tt.Experiment(m=tt.Mean("y", "x")).analyze(FRAME)["m"]
    _same(effect_of(sums_of(Y[C], covariate=X[C]), sums_of(Y[T], covariate=X[T])), theirs)


def test_ratio_agrees_with_tea_tasting() -> None:
    theirs = tt.Experiment(m=tt.RatioOfMeans("z", "d")).analyze(FRAME)["m"]
    z = Y * D
    _same(effect_of(sums_of(z[C], denominator=D[C]), sums_of(z[T], denominator=D[T])), theirs)


def test_welch_agrees_with_statsmodels() -> None:
    welch = CompareMeans(DescrStatsW(Y[T]), DescrStatsW(Y[C]))
    ours = effect_of(sums_of(Y[C]), sums_of(Y[T]))
    assert (ours.lower, ours.upper) == pytest.approx(
        welch.tconfint_diff(usevar="unequal"), abs=1e-8
    )
    assert ours.p_value == pytest.approx(welch.ttest_ind(usevar="unequal")[1], abs=1e-8)


def test_cuped_agrees_with_the_analysis_of_covariance() -> None:
    fit = sm.OLS(Y, np.column_stack([np.ones(N), ARM, X])).fit()
    ours = effect_of(sums_of(Y[C], covariate=X[C]), sums_of(Y[T], covariate=X[T]))
    assert ours.difference == pytest.approx(fit.params[1], abs=1e-10)
    assert ours.standard_error == pytest.approx(fit.bse[1], rel=1e-3)


def test_clustered_error_agrees_with_statsmodels_clusters() -> None:
    units = np.repeat(np.arange(1000), 1 + G.poisson(3, 1000))
    arm = units % 2
    y = G.normal(size=1000)[units] + G.normal(size=len(units))
    fit = sm.OLS(y, sm.add_constant(arm)).fit(cov_type="cluster", cov_kwds={"groups": units})
    rows, worth = np.bincount(units), np.bincount(units, y)
    sides = [np.unique(units[arm == a]) for a in (0, 1)]
    ours = effect_of(*(sums_of(worth[s], denominator=rows[s]) for s in sides))
    assert ours.difference == pytest.approx(fit.params[1], abs=1e-10)
    assert ours.standard_error == pytest.approx(fit.bse[1], rel=2e-3)


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_cuped_leaves_one_minus_rho_squared(rho: float) -> None:
    y = rho * X / 2 + np.sqrt(1 - rho**2) * G.normal(size=N)
    ours = effect_of(sums_of(y[C], covariate=X[C]), sums_of(y[T], covariate=X[T]))
    assert ours.variance_ratio == pytest.approx(1 - rho**2, abs=0.03)


def test_a_constant_covariate_changes_nothing() -> None:
    with_it = effect_of(
        sums_of(Y[C], covariate=np.ones(N // 2)), sums_of(Y[T], covariate=np.ones(N // 2))
    )
    assert with_it.difference == pytest.approx(effect_of(sums_of(Y[C]), sums_of(Y[T])).difference)


def test_false_positives_and_coverage_of_one_look_hold() -> None:
    a, b = (_rates(G.binomial(2000, rate, 4000).astype(float), 2000) for rate in (0.10, 0.11))
    effect = effect_of(a, b)
    assert np.mean((effect.lower < 0.01) & (effect.upper > 0.01)) > 0.94
    same = effect_of(a, _rates(G.binomial(2000, 0.10, 4000).astype(float), 2000))
    assert 0.04 < np.mean(same.p_value < 0.05) < 0.06


@pytest.mark.parametrize("weights", ["precision", "size"])
def test_a_ramp_while_the_base_rate_moves_is_no_effect(weights: str) -> None:
    phases = [
        tuple(
            _rates(G.binomial(n, base, 4000).astype(float), n) for n in (20_000 - treated, treated)
        )
        for base, treated in ((0.10, 2_000), (0.14, 10_000))
    ]
    assert np.mean(stratified_effect(phases, weights=weights).p_value < 0.05) < 0.06
    pooled = effect_of(phases[0][0] + phases[1][0], phases[0][1] + phases[1][1])
    assert np.mean(pooled.p_value < 0.05) > 0.9


def test_one_phase_is_the_plain_effect() -> None:
    arms = (sums_of(Y[C], covariate=X[C]), sums_of(Y[T], covariate=X[T]))
    assert stratified_effect([arms]).difference == pytest.approx(effect_of(*arms).difference)
    assert stratified_effect([arms]).standard_error == pytest.approx(
        effect_of(*arms).standard_error
    )


def test_bounds_of_a_look_are_as_wide_as_asked() -> None:
    effect = effect_of(sums_of(Y[C]), sums_of(Y[T]))
    wide = at_bound(effect, 4.0)
    assert wide.upper - wide.difference == pytest.approx(4 * effect.standard_error)
    assert at_bound(effect, 1.96).lift_lower == pytest.approx(effect.lift_lower, abs=1e-5)
    assert wide.interval == (wide.lower, wide.difference, wide.upper)


def test_a_loss_within_the_margin_holds_the_guardrail() -> None:
    effect = effect_of(sums_of(Y[T]), sums_of(Y[C]))  # about -.1
    assert non_inferiority(effect, 0.3).held
    assert not non_inferiority(effect, 0.05).held
    assert not non_inferiority(
        effect_of(sums_of(Y[C]), sums_of(Y[T])), 0.05, higher_is_better=False
    ).held
    guard = non_inferiority(effect, 0.3)
    assert (guard.bound > -0.3) == guard.held


def test_segments_that_differ_are_told_from_those_that_do_not() -> None:
    same = [
        effect_of(sums_of(Y[C][part]), sums_of(Y[T][part]))
        for part in (slice(0, 5000), slice(5000, None))
    ]
    assert heterogeneity(same) > 0.001
    assert heterogeneity([same[0], same[1]._replace(difference=1.0)]) < 0.001


def test_money_below_zero_has_a_lift_with_the_sign_of_its_difference() -> None:
    effect = effect_of(sums_of(Y[C] - 20), sums_of(Y[T] - 20))
    assert effect.lift > 0 and effect.difference > 0
    assert effect.lift_lower < effect.lift < effect.lift_upper


@pytest.mark.parametrize(
    ("control", "treatment", "sentence"),
    [
        (sums_of([1.0]), sums_of(Y), "The control arm has 1 units; each arm needs at least 2"),
        (sums_of(Y), sums_of([1.0]), "The treatment arm has 1 units"),
        (sums_of([3.0, 3.0]), sums_of([3.0, 3.0]), "the same for all 2 \\+ 2 units"),
        (
            sums_of([1.0, 2.0], denominator=[0.0, 0.0]),
            sums_of(Y),
            "denominators of the control arm sum to 0",
        ),
        (Sums(9, np.nan, 1, 9, 9, 1), sums_of(Y), "A sum of the control arm is not finite"),
    ],
)
def test_arms_that_cannot_be_compared_get_a_sentence(
    control: Sums, treatment: Sums, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        effect_of(control, treatment)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: stratified_effect([]), "no phases"),
        (
            lambda: stratified_effect([(sums_of(Y), sums_of(Y))], weights="units"),
            "'precision', 'size'",
        ),
        (lambda: effect_of(sums_of(Y), sums_of(Y), alternative="more"), "alternative is 'more'"),
        (lambda: effect_of(sums_of(Y), sums_of(Y), level=95), "level is 95"),
        (lambda: non_inferiority(effect_of(sums_of(Y), sums_of(Y)), 0), "margin is 0"),
        (lambda: heterogeneity([]), "at least 2 are needed"),
    ],
)
def test_wrong_arguments_get_a_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
