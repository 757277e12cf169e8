"""Difference and lift between two arms, from sums: means, ratios, CUPED, phases, segments."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from .checks import Interval, check_between, check_positive, where
from .sums import Sums

LEVEL = 0.95  # of an effect's bounds at one look


class Effect(NamedTuple):
    """The effect of treatment against control on one metric, in its unit unless said otherwise."""

    control: float  # the metric in the control arm, adjusted by the covariate if there is one
    treatment: float  # the metric in the treatment arm, adjusted likewise
    difference: float  # treatment - control
    standard_error: float  # of the difference
    lower: float  # lower bound of the difference
    upper: float  # upper bound of the difference
    lift: float  # difference / |control|, a share: .05 is 5 % more
    lift_lower: float  # lower bound of the lift
    lift_upper: float  # upper bound of the lift
    lift_error: float  # standard error of the lift (delta method)
    p_value: float  # two-sided, of a difference of 0, for one look
    degrees_of_freedom: float  # of the t distribution (Welch 1947); inf where the normal is used
    variance_ratio: float  # variance of the difference over that without the covariate, else 1
    units: float  # units in both arms

    @property
    def interval(self) -> Interval:
        """The difference between its bounds."""
        return Interval(self.lower, self.difference, self.upper)


class NonInferiority(NamedTuple):
    """Whether a metric that must not suffer is shown to be no worse than by a margin."""

    held: bool  # the loss is shown to be below the margin
    bound: float  # the worst difference that is still compatible, in the metric's unit


class _Moments(NamedTuple):
    """Of both arms: what an effect is computed from."""

    control: float
    treatment: float
    variance_control: float  # of the arm's estimate, that is per unit / units
    variance_treatment: float
    plain_variance: float  # of the difference, without the covariate


def effect_of(control: Sums, treatment: Sums, *, adjust: bool = True) -> Effect:
    """Effect on a mean (Welch 1947) or ratio (delta method).

    Adjusted by CUPED (Deng et al. 2013) if sums hold x. Rows of one unit must stand summed in its
    row. Raises ValueError for an arm under two units, a zero denominator, non-finite sums or a
    metric without variance.
    """
    _check_arms(control, treatment)
    theta = _theta([(control, treatment)]) if adjust else 0.0
    moments = _moments(control, treatment, theta)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = (moments.variance_control + moments.variance_treatment) ** 2 / (
            moments.variance_control**2 / (control.units - 1)
            + moments.variance_treatment**2 / (treatment.units - 1)
        )
    return _effect(moments, freedom, control.units + treatment.units)


def stratified_effect(phases: Sequence[tuple[Sums, Sums]], *, adjust: bool = True) -> Effect:
    """Effect compared within each phase (control, treatment): a moving base rate is no effect.

    Phases weigh by control x treatment / units (Cochran 1954), best for one common effect and for
    looks; outcomes do not matter for it. Raises as `effect_of`.
    """
    if not phases:
        raise ValueError(
            "There are no phases; give at least one pair of sums (control, treatment)."
        )
    for control, treatment in phases:
        _check_arms(control, treatment)
    theta = _theta(phases) if adjust else 0.0
    weights = [c.units * t.units / (c.units + t.units) for c, t in phases]
    parts = [_moments(c, t, theta) for c, t in phases]

    def mean(field: str, power: int) -> float:
        values = [getattr(part, field) for part in parts]
        shares = [(weight / sum(weights)) ** power for weight in weights]
        return sum(share * value for share, value in zip(shares, values, strict=True))

    moments = _Moments(
        control=mean("control", 1),
        treatment=mean("treatment", 1),
        variance_control=mean("variance_control", 2),
        variance_treatment=mean("variance_treatment", 2),
        plain_variance=mean("plain_variance", 2),
    )
    return _effect(moments, np.inf, sum(c.units + t.units for c, t in phases))


def at_bound(effect: Effect, critical: float) -> Effect:
    """The effect with bounds at critical standard errors: those of a look, by `bounds_at_looks`."""
    check_positive(critical, "critical")
    lift_lower, lift_upper = _lift_bounds(effect.control, effect.lift, effect.lift_error, critical)
    half = critical * effect.standard_error
    return effect._replace(
        lower=effect.difference - half,
        upper=effect.difference + half,
        lift_lower=lift_lower,
        lift_upper=lift_upper,
    )


def non_inferiority(
    effect: Effect, margin: float, *, level: float = LEVEL, higher_is_better: bool = True
) -> NonInferiority:
    """Is the metric worse by less than margin (above 0, in its unit), one-sided at 1 - level?"""
    check_positive(margin, "margin")
    check_between(level, "level", 0, 1)
    sign = 1 if higher_is_better else -1
    z = (sign * effect.difference + margin) / effect.standard_error
    p_value = float(stats.t.sf(z, effect.degrees_of_freedom))
    quantile = float(stats.t.ppf(level, effect.degrees_of_freedom))
    bound = effect.difference - sign * quantile * effect.standard_error
    return NonInferiority(p_value < 1 - level, bound)


def heterogeneity(effects: Sequence[Effect]) -> float:
    """p-value that one effect holds in all of a few disjoint segments (Cochran's Q, 1954)."""
    if len(effects) < 2:
        raise ValueError(f"There are {len(effects)} segments; at least 2 are needed to compare.")
    differences = np.array([effect.difference for effect in effects])
    precision = np.array([effect.standard_error for effect in effects]) ** -2.0
    mean = precision @ differences / precision.sum()
    return float(stats.chi2.sf(precision @ (differences - mean) ** 2, len(effects) - 1))


def _check_arms(control: Sums, treatment: Sums) -> None:
    """Raise ValueError where arms cannot be compared (arrays of sums are left to the caller)."""
    if np.ndim(control.units):
        return
    for name, arm in (("control", control), ("treatment", treatment)):
        if arm.units < 2:
            raise ValueError(
                f"The {name} arm has {arm.units:.0f} units; each arm needs at least 2."
            )
        if not all(np.isfinite(getattr(arm, field)) for field in arm.__dataclass_fields__):
            raise ValueError(
                f"A sum of the {name} arm is not finite; leave out or mend the units behind it."
            )
        if arm.d == 0:
            raise ValueError(
                f"The denominators of the {name} arm sum to 0; a ratio needs them above 0."
            )
    if not control.variance + treatment.variance > 0:
        raise ValueError(
            f"The metric is the same for all {control.units:.0f} + {treatment.units:.0f} units; "
            "an effect needs a metric that varies."
        )


def _theta(phases: Sequence[tuple[Sums, Sums]]) -> float:
    """CUPED's slope, pooled within arms and phases as in an analysis of covariance; else 0."""
    arms = [arm for phase in phases for arm in phase]
    covariance = sum(arm.covariance * (arm.units - 1) for arm in arms)
    spread = sum(arm.covariate_variance * (arm.units - 1) for arm in arms)
    return where(spread > 0, covariance / where(spread > 0, spread, 1.0), 0.0)


def _moments(control: Sums, treatment: Sums, theta: float) -> _Moments:
    """Values adjusted to the covariate's mean over both arms, and the variances that are left."""
    centre = (control.x + treatment.x) / (control.units + treatment.units)
    plain_control = control.variance / control.units
    plain_treatment = treatment.variance / treatment.units
    return _Moments(
        control=control.value - theta * (control.covariate - centre),
        treatment=treatment.value - theta * (treatment.covariate - centre),
        variance_control=plain_control + _change(control, theta),
        variance_treatment=plain_treatment + _change(treatment, theta),
        plain_variance=plain_control + plain_treatment,
    )


def _change(arm: Sums, theta: float) -> float:
    """What the covariate takes from the variance of the arm's value (negative if it helps)."""
    return (theta**2 * arm.covariate_variance - 2 * theta * arm.covariance) / arm.units


def _effect(m: _Moments, freedom: float, units: float) -> Effect:
    """The effect with bounds and p-value; without variance (only in arrays) nothing is claimed."""
    variance = m.variance_control + m.variance_treatment
    error = where(variance > 0, np.sqrt(np.maximum(variance, 0)), np.inf)
    freedom = where(np.isfinite(error), freedom, np.inf)
    difference = m.treatment - m.control
    critical = stats.t.isf((1 - LEVEL) / 2, freedom)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = difference / np.abs(m.control)
        squared = m.variance_treatment + m.variance_control * (m.treatment / m.control) ** 2
        lift_error = np.sqrt(np.maximum(squared, 0)) / np.abs(m.control)
        ratio = variance / m.plain_variance
    lift_lower, lift_upper = _lift_bounds(m.control, lift, lift_error, critical)
    return Effect(
        control=m.control,
        treatment=m.treatment,
        difference=difference,
        standard_error=error,
        lower=difference - critical * error,
        upper=difference + critical * error,
        lift=lift,
        lift_lower=lift_lower,
        lift_upper=lift_upper,
        lift_error=lift_error,
        p_value=2 * stats.t.sf(np.abs(difference / error), freedom),
        degrees_of_freedom=freedom,
        variance_ratio=ratio,
        units=units,
    )


def _lift_bounds(control: float, lift: float, error: float, critical: float) -> tuple[float, float]:
    """Bounds of the lift: on the log scale where both values are positive, else on its own."""
    ratio = 1 + lift
    positive = np.logical_and(control > 0, ratio > 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        log_error = error / where(positive, ratio, 1)
        lower = where(positive, ratio * np.exp(-critical * log_error) - 1, lift - critical * error)
        upper = where(positive, ratio * np.exp(critical * log_error) - 1, lift + critical * error)
    return lower, upper
