"""Effects against statsmodels and tea-tasting, and simulations of what goes wrong without them."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import tea_tasting as tt

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
CONTROL, TREATMENT = (FRAME[arm == ARM] for arm in (0, 1))
PLAIN = effect_of(sums_of(CONTROL["y"]), sums_of(TREATMENT["y"]))


def by_arm(metric: np.ndarray, **columns: np.ndarray) -> list[Sums]:
    """The sums of (control, treatment)."""
    return [
        sums_of(
            metric[arm == ARM], **{name: column[arm == ARM] for name, column in columns.items()}
        )
        for arm in (0, 1)
    ]


def rates(successes: np.ndarray, units: float) -> Sums:
    """Sums of many simulated arms of a yes-or-no metric."""
    n = np.full(successes.shape, float(units))
    return Sums(n, successes, successes, n, n, successes)


def simulated(units: int, rate: float) -> Sums:
    """4,000 arms of so many units."""
    return rates(G.binomial(units, rate, 4000).astype(float), units)


@pytest.mark.parametrize(
    ("metric", "arms"),
    [
        (tt.Mean("y"), by_arm(Y)),
        (tt.Mean("y", "x"), by_arm(Y, covariate=X)),
        (tt.RatioOfMeans("z", "d"), by_arm(Y * D, denominator=D)),
    ],
    ids=["mean", "CUPED", "ratio"],
)
def test_effect_agrees_with_tea_tasting(metric: tt.Mean, arms: list[Sums]) -> None:
    ours, theirs = effect_of(*arms), tt.Experiment(m=metric).analyze(FRAME)["m"]
    names = {
        "control": "control",
        "treatment": "treatment",
        "difference": "effect_size",
        "lower": "effect_size_ci_lower",
        "upper": "effect_size_ci_upper",
        "lift": "rel_effect_size",
        "lift_lower": "rel_effect_size_ci_lower",
        "lift_upper": "rel_effect_size_ci_upper",
        "p_value": "pvalue",
    }
    for own, name in names.items():
        assert getattr(ours, own) == pytest.approx(getattr(theirs, name), abs=1e-4), name


def test_clustered_error_agrees_with_statsmodels_clusters() -> None:
    units = np.repeat(np.arange(1000), 1 + G.poisson(3, 1000))
    y = G.normal(size=1000)[units] + G.normal(size=len(units))
    fit = sm.OLS(y, sm.add_constant(units % 2)).fit(cov_type="cluster", cov_kwds={"groups": units})
    rows, worth = np.bincount(units), np.bincount(units, y)
    ours = effect_of(*(sums_of(worth[arm::2], denominator=rows[arm::2]) for arm in (0, 1)))
    assert ours.difference == pytest.approx(fit.params[1], abs=1e-10)
    assert ours.standard_error == pytest.approx(fit.bse[1], rel=2e-3)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.7])
def test_cuped_leaves_one_minus_rho_squared(rho: float) -> None:
    y = rho * X / 2 + np.sqrt(1 - rho**2) * G.normal(size=N)
    ratio = effect_of(*by_arm(y, covariate=X)).variance_ratio
    assert ratio == pytest.approx(1 - rho**2, abs=0.03)


def test_a_constant_covariate_changes_nothing() -> None:
    assert effect_of(*by_arm(Y, covariate=np.ones(N))) == pytest.approx(PLAIN)


def test_a_ramp_while_the_base_rate_moves_is_no_effect() -> None:
    phases = [
        (simulated(20_000 - treated, base), simulated(treated, base))
        for base, treated in ((0.10, 2_000), (0.14, 10_000))
    ]
    assert np.mean(stratified_effect(phases).p_value < 0.05) < 0.06
    (control, treatment), (more_control, more_treatment) = phases
    pooled = effect_of(control + more_control, treatment + more_treatment)
    assert np.mean(pooled.p_value < 0.05) > 0.9


def test_bounds_of_a_look_are_as_wide_as_asked() -> None:
    wide = at_bound(PLAIN, 4.0)
    assert wide.upper - wide.difference == pytest.approx(4 * PLAIN.standard_error)
    assert at_bound(PLAIN, 1.96).lift_lower == pytest.approx(PLAIN.lift_lower, abs=1e-5)


@pytest.mark.parametrize(
    ("sign", "margin", "higher", "held"),
    [(-1, 0.3, True, True), (-1, 0.05, True, False), (1, 0.05, False, False)],
)
def test_a_loss_within_the_margin_holds_the_guardrail(
    sign: int, margin: float, higher: bool, held: bool
) -> None:
    shown = non_inferiority(effect_of(*by_arm(Y)[::sign]), margin, higher_is_better=higher)
    assert shown.held == held == ((shown.bound > -margin) if higher else (shown.bound < margin))


def test_segments_that_differ_are_told_from_those_that_do_not() -> None:
    assert heterogeneity([PLAIN, PLAIN._replace(difference=PLAIN.difference + 0.01)]) > 0.001
    assert heterogeneity([PLAIN, PLAIN._replace(difference=1.0)]) < 0.001


def test_money_below_zero_has_a_lift_with_the_sign_of_its_difference() -> None:
    effect = effect_of(*by_arm(Y - 20))
    assert effect.difference > 0 < effect.lift
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
        (lambda: non_inferiority(PLAIN, 0), "margin is 0"),
        (lambda: non_inferiority(PLAIN, 1, level=95), "level is 95"),
        (lambda: heterogeneity([]), "at least 2 are needed"),
    ],
)
def test_wrong_arguments_get_a_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
