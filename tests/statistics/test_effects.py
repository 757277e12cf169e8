"""Effects against tea-tasting, and simulations of what goes wrong without them."""

import numpy as np
import pandas as pd
import pytest
import tea_tasting as tt

from ml_workflow.statistics.effects import effect_of, heterogeneity, stratified_effect
from ml_workflow.statistics.sums import Sums, sums_of

G = np.random.default_rng(7)
N = 20_000
ARM = np.arange(N) % 2
X = G.normal(5, 2, N)
D = 1.0 + G.poisson(3, N)
Y = 0.7 * X + G.normal(3, 1.5, N) + 0.1 * ARM
FRAME = pd.DataFrame({"variant": ARM, "y": Y, "x": X, "d": D, "z": Y * D})


def by_arm(metric: np.ndarray, **columns: np.ndarray) -> list[Sums]:
    """The sums of (control, treatment)."""
    return [
        sums_of(metric[rows], **{name: column[rows] for name, column in columns.items()})
        for rows in (ARM == 0, ARM == 1)
    ]


def simulated(units: int, rate: float) -> Sums:
    """Sums of 4,000 arms of so many units of a yes-or-no metric."""
    n, successes = np.full(4000, float(units)), G.binomial(units, rate, 4000).astype(float)
    return Sums(n, successes, successes, n, n, successes)


PLAIN = effect_of(*by_arm(Y))


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
    for own, name in (
        (ours.difference, "effect_size"),
        (ours.lower, "effect_size_ci_lower"),
        (ours.upper, "effect_size_ci_upper"),
        (ours.p_value, "pvalue"),
    ):
        assert own == pytest.approx(getattr(theirs, name), abs=1e-4), name


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


def test_segments_that_differ_are_told_from_those_that_do_not() -> None:
    assert heterogeneity([PLAIN, PLAIN._replace(difference=PLAIN.difference + 0.01)]) > 0.001
    assert heterogeneity([PLAIN, PLAIN._replace(difference=1.0)]) < 0.001
