"""Sums per arm: all that an analysis needs of ten million rows, as easily made in SQL as here."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from .checks import check_numbers, where

DUST = 1e-12  # a variance below this share of the mean square is rounding, not spread


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over units of one arm, phase or day: of a metric y, its denominator d, a covariate x.

    A mean is a ratio with d = 1 for every unit. Sums of disjoint sets of units are added with +. A
    field may also be an array of sums, one a simulation or a day: the formulas then work element by
    element.
    """

    units: float  # number of independent units
    y: float  # sum of the metric, or of the ratio's numerator
    yy: float  # sum of its squares
    d: float  # sum of the denominator: the number of units where the metric is a mean
    dd: float  # sum of its squares
    yd: float  # sum of numerator times denominator
    x: float = 0.0  # sum of the covariate, known before exposure; 0 where there is none
    xx: float = 0.0  # sum of its squares
    xy: float = 0.0  # sum of covariate times metric
    xd: float = 0.0  # sum of covariate times denominator

    def __add__(self, other: Sums) -> Sums:
        """The sums of both sets of units together."""
        names = [field.name for field in fields(self)]
        return Sums(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def value(self) -> float:
        """The metric of the arm: the mean of y, or the ratio of the sums y / d."""
        return self.y / self.d

    @property
    def covariate(self) -> float:
        """The mean of the covariate, in its unit."""
        return self.x / self.units

    @property
    def variance(self) -> float:
        """The variance per unit of the metric, of ratios by the delta method (Deng et al. 2018)."""
        ratio, mean_d = self.value, self.d / self.units
        squares = self.yy - 2 * ratio * self.yd + ratio**2 * self.dd
        spread = where(squares > DUST * (self.yy + ratio**2 * self.dd), squares, 0.0)
        return spread / (self.units - 1) / mean_d**2

    def error_squared(self, theta: float = 0.0) -> float:
        """The variance of the arm's value, less what theta times the covariate takes from it."""
        taken = theta**2 * self.covariate_variance - 2 * theta * self.covariance
        return (self.variance + taken) / self.units

    @property
    def covariance(self) -> float:
        """The covariance per unit of the covariate and the (linearised) metric."""
        centred = self.xy - self.value * self.xd
        return centred / (self.units - 1) / (self.d / self.units)

    @property
    def covariate_variance(self) -> float:
        """The variance per unit of the covariate."""
        squares = self.xx - self.x**2 / self.units
        return where(squares > DUST * self.xx, squares, 0.0) / (self.units - 1)


def sums_of(
    values: ArrayLike, *, denominator: ArrayLike | None = None, covariate: ArrayLike | None = None
) -> Sums:
    """Sums of one arm from arrays of shape (units,): a mean, or a ratio with a denominator.

    Raises ValueError for empty, unequally long or non-finite arrays.
    """
    y = check_numbers(values, "values")
    d = np.ones_like(y) if denominator is None else check_numbers(denominator, "denominator")
    x = np.zeros_like(y) if covariate is None else check_numbers(covariate, "covariate")
    products = (y @ y, d.sum(), d @ d, y @ d, x.sum(), x @ x, x @ y, x @ d)
    return Sums(float(len(y)), float(y.sum()), *map(float, products))
