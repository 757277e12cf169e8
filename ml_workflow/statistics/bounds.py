"""The bound that holds at every look: error spending up to a planned size, else a sequence."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats
from scipy.special import ndtr

from .checks import Floats, check_positive

RESERVE = 0.05  # share of alpha kept back for going on past the plan
REACH = 8.5  # standard deviations beyond which no probability is left to integrate


class Bound(NamedTuple):
    """How far an effect must stand from zero at one look."""

    critical: float  # in standard errors of the difference; inf where it is too early for claims
    regime: str  # "planned", "overrun" (past the planned size) or "unplanned"
    fraction: float  # of the planned (or expected) size that had been reached


def bounds_at_looks(
    units: ArrayLike,
    *,
    planned: float | None = None,
    expected: float | None = None,
    alpha: float = 0.05,
) -> list[Bound]:
    """Two-sided bounds for the looks so far, at rising counts of units; alpha holds over all looks.

    With a planned size alpha * (1 - RESERVE) is spent up to it (the first look at or past it is the
    last planned one) and alpha * RESERVE after it, for ever; without one a sequence holds that is
    tightest at the expected units. Raises ValueError for sizes that are not above 0.
    """
    seen = np.asarray(units, dtype=np.float64)
    if planned is None:
        size = check_positive(float(seen[-1]) if expected is None else expected, "expected")
        return _regime("unplanned", sequence_bound(seen / size, alpha=alpha), seen / size)
    fractions = seen / check_positive(planned, "planned")
    last = int(np.searchsorted(seen, planned * (1 - 1e-9)))  # the first look at or past the plan
    inside = np.minimum(fractions[: last + 1], 1)
    criticals = spending_bounds(inside, alpha=alpha * (1 - RESERVE))
    found = _regime("planned", criticals, fractions[: last + 1])
    if last + 1 < len(seen):
        beyond = seen[last + 1 :] / seen[last]
        after = overrun_bound(beyond, alpha=alpha * RESERVE, last=found[-1].critical)
        found += _regime("overrun", after, fractions[last + 1 :])
    return found


def _regime(name: str, criticals: Floats, fractions: Floats) -> list[Bound]:
    """The bounds of one regime, as plain numbers."""
    pairs = zip(criticals.tolist(), fractions.tolist(), strict=True)
    return [Bound(critical, name, fraction) for critical, fraction in pairs]


def spending(fraction: ArrayLike, *, alpha: float = 0.05) -> Floats:
    """Two-sided error spent by an information fraction in (0, 1] (O'Brien-Fleming type)."""
    t = np.asarray(fraction, dtype=np.float64)
    return 4 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(t))


def spending_bounds(fractions: ArrayLike, *, alpha: float = 0.05) -> Floats:
    """Two-sided bounds in standard errors, shape (looks,), of O'Brien-Fleming spending.

    After Lan & DeMets (1983); probabilities by Armitage, McPherson & Rowe (1969). The information
    fractions rise from above 0 to at most 1.
    """
    return np.array(_spending_bounds(tuple(np.asarray(fractions).tolist()), alpha))


def crossing_probability(fractions: Floats, criticals: Floats, drift: float = 0.0) -> Floats:
    """Probability, shape (looks,), that |Z| first crosses its bound at each look.

    drift is E[Z] at fraction 1: 0 gives the error spent, else the sum is the power.
    Recursion of Armitage, McPherson & Rowe (1969).
    """
    walk, looks = _Walk(drift), zip(fractions, criticals, strict=True)
    return np.array([walk.look(time, critical) for time, critical in looks])


def sequence_bound(fraction: ArrayLike, *, alpha: float = 0.05) -> Floats:
    """Two-sided bound in standard errors at units / expected units, valid at every look for ever.

    Asymptotic confidence sequence (Waudby-Smith et al. 2024, normal mixture of Robbins 1970),
    tightest near 1. It needs variances that are known well: look first at some hundred units.
    """
    t = np.asarray(fraction, dtype=np.float64)
    spent = -2 * np.log(alpha)
    # The mixture's units at which its bound is narrowest relative to the standard error.
    tuning = float(optimize.brentq(lambda x: x - np.log1p(x) - spent, 1e-9, 1e4))
    x = t * tuning
    return np.sqrt((1 + 1 / x) * (np.log1p(x) + spent))


def overrun_bound(fraction: ArrayLike, *, alpha: float, last: float) -> Floats:
    """Two-sided bound past the plan, at units / units of the last planned look, valid for ever.

    sqrt(a^2 + log fraction) (Robbins 1970, started at the plan). A path inside the last bound c at
    the plan crosses later with probability exp((z^2 - a^2) / 2), so the extra error is at most
    2 c phi(a) = alpha.
    """
    start = np.sqrt(2 * np.log(2 * last / (alpha * np.sqrt(2 * np.pi))))
    return np.sqrt(np.maximum(start, last) ** 2 + np.log(np.asarray(fraction, dtype=np.float64)))


@lru_cache(maxsize=512)
def _spending_bounds(fractions: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """The bounds one look after the other: each leaves exactly what may be spent since the last."""
    found: list[float] = []
    walk, spent = _Walk(0.0), 0.0
    for t in fractions:
        due = float(spending(t, alpha=alpha))
        share = due - spent
        marginal = float(stats.norm.isf(share / 2))  # the bound if no path had left before
        critical = marginal
        if share > 1e-13 and found and np.isfinite(marginal):
            critical = walk.critical(t, share, marginal + 1e-6)
        walk.look(t, critical)
        found.append(critical)
        spent = due
    return tuple(found)


legendre = lru_cache(maxsize=64)(np.polynomial.legendre.leggauss)


class _Walk:
    """A Brownian motion with drift: its density over paths that have crossed no bound so far."""

    def __init__(self, drift: float) -> None:
        self.drift = drift
        self.time = 0.0
        self.nodes = np.zeros(1)  # places of the motion
        self.mass = np.ones(1)  # probability at each

    def crossing(self, time: float, critical: float) -> float:
        """Probability that a path inside until now is outside +-critical standard errors then."""
        step, edge = np.sqrt(time - self.time), critical * np.sqrt(time)
        mean = self.nodes + self.drift * (time - self.time)
        return float(self.mass @ (ndtr((mean - edge) / step) + ndtr((-edge - mean) / step)))

    def critical(self, time: float, share: float, most: float) -> float:
        """The bound, at most `most`, that a path crosses at time with probability share."""
        crossed = optimize.brentq(
            lambda critical: self.crossing(time, critical) - share, 0.1, most, xtol=1e-9
        )
        return float(crossed)

    def look(self, time: float, critical: float) -> float:
        """Return the probability of crossing at this look, and go on with the paths inside."""
        crossed = self.crossing(time, critical)
        step, root = np.sqrt(time - self.time), np.sqrt(time)
        edge = min(critical, REACH + abs(self.drift) * root) * root
        # The next step's kernel must be resolved, but it is not known: the last one stands in.
        count = int(np.clip(np.ceil(12 * edge / step / 20) * 20, 60, 600))
        places, weights = legendre(count)
        mean = self.nodes + self.drift * (time - self.time)
        kernel = np.exp(-0.5 * ((edge * places[:, None] - mean) / step) ** 2)
        density = kernel @ self.mass / (step * np.sqrt(2 * np.pi))
        self.nodes, self.mass, self.time = edge * places, edge * weights * density, time
        return crossed
