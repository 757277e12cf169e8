"""The difference between two arms, from sums: means, ratios, CUPED, phases, segments."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from .checks import Interval, where
from .sums import Sums

LEVEL = 0.95  # of an effect's bounds at one look


class Effect(NamedTuple):
    """The effect of treatment against control on one metric, in its unit unless said otherwise."""

    difference: float  # treatment - control, adjusted by the covariate if there is one
    standard_error: float  # of the difference
    lower: float  # lower bound of the difference
    upper: float  # upper bound of the difference
    p_value: float  # two-sided, of a difference of 0, for one look
    degrees_of_freedom: float  # of the t distribution (Welch 1947); inf where the normal is used
    variance_ratio: float  # variance of the difference over that without the covariate, else 1
    units: float  # units in both arms

    @property
    def interval(self) -> Interval:
        """The difference between its bounds."""
        return Interval(self.lower, self.difference, self.upper)


def effect_of(control: Sums, treatment: Sums, *, adjust: bool = True) -> Effect:
    """Effect on a mean (Welch 1947) or ratio (delta method).

    Adjusted by CUPED (Deng et al. 2013) if sums hold x. Rows of one unit must stand summed in its
    row. Each arm has two units, and the metric varies.
    """
    return stratified_effect([(control, treatment)], adjust=adjust)


def stratified_effect(phases: Sequence[tuple[Sums, Sums]], *, adjust: bool = True) -> Effect:
    """Effect compared within each phase (control, treatment): a moving base rate is no effect.

    Phases weigh by control x treatment / units (Cochran 1954), best for one common effect and for
    looks; outcomes do not matter for it. Without variance (only in arrays) nothing is claimed.
    """
    theta = _theta(phases) if adjust else 0.0
    weights = [c.units * t.units / (c.units + t.units) for c, t in phases]
    difference = variance = plain = 0.0
    for weight, (control, treatment) in zip(weights, phases, strict=True):
        share = weight / sum(weights)
        lead = theta * (treatment.covariate - control.covariate)
        difference += share * (treatment.value - control.value - lead)
        variance += share**2 * (control.error_squared(theta) + treatment.error_squared(theta))
        plain += share**2 * (control.error_squared() + treatment.error_squared())
    error = where(variance > 0, np.sqrt(np.maximum(variance, 0)), np.inf)
    freedom = np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = variance / plain
        if len(phases) == 1:
            [arms] = phases
            each = sum(arm.error_squared(theta) ** 2 / (arm.units - 1) for arm in arms)
            freedom = where(variance > 0, variance**2 / each, np.inf)
    half = stats.t.isf((1 - LEVEL) / 2, freedom) * error
    return Effect(
        difference=difference,
        standard_error=error,
        lower=difference - half,
        upper=difference + half,
        p_value=2 * stats.t.sf(np.abs(difference / error), freedom),
        degrees_of_freedom=freedom,
        variance_ratio=ratio,
        units=sum(control.units + treatment.units for control, treatment in phases),
    )


def heterogeneity(effects: Sequence[Effect]) -> float:
    """p-value that one effect holds in all of a few disjoint segments (Cochran's Q, 1954)."""
    differences = np.array([effect.difference for effect in effects])
    precision = np.array([effect.standard_error for effect in effects]) ** -2.0
    mean = precision @ differences / precision.sum()
    return float(stats.chi2.sf(precision @ (differences - mean) ** 2, len(effects) - 1))


def _theta(phases: Sequence[tuple[Sums, Sums]]) -> float:
    """CUPED's slope, pooled within arms and phases as in an analysis of covariance; else 0."""
    arms = [arm for phase in phases for arm in phase]
    covariance = sum(arm.covariance * (arm.units - 1) for arm in arms)
    spread = sum(arm.covariate_variance * (arm.units - 1) for arm in arms)
    return where(spread > 0, covariance / where(spread > 0, spread, 1.0), 0.0)
