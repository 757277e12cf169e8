"""Has the world moved since training: distance and significance of a window against a reference."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .checks import Floats, check_between
from .multiplicity import holm

BINS = 10  # bins of equal reference share for a number
SMALLEST = 5.0  # expected count below which categories are pooled for the chi-square test
MINIMUM = 0.02  # PSI beyond sampling from which a shift matters: a mean moved by .14 deviations


class Shift(NamedTuple):
    """One column's window against the reference."""

    test: str  # "Kolmogorov-Smirnov" or "chi-square"
    statistic: float  # KS distance (0 to 1), or chi-square
    p_value: float  # of a statistic as large without drift, for this column alone
    psi: float  # population stability index; .1 is commonly called moderate, .25 large
    psi_expected: float  # what sampling alone gives on average


class Finding(NamedTuple):
    """A shift judged among all columns of its window."""

    drifted: bool  # significant after correction, and of a size that matters
    adjusted: float  # p-value corrected for the number of columns
    shift: Shift  # the figures behind it


def psi(reference: ArrayLike, window: ArrayLike) -> float:
    """Population stability index of counts, shape (bins,); half a row is added to each bin."""
    p, q = (counts + 0.5 for counts in _pair(reference, window))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def psi_expected(reference: ArrayLike, window: ArrayLike) -> float:
    """Mean of the index without drift: (filled bins - 1)(1/n + 1/m) (Yurdakul 2018)."""
    r, w = _pair(reference, window)
    return float((np.count_nonzero(r + w) - 1) * (1 / r.sum() + 1 / w.sum()))


def chi_square(reference: ArrayLike, window: ArrayLike) -> tuple[float, float]:
    """Two-sample chi-square of counts by category (Pearson 1900): statistic and p-value.

    Rare categories are pooled.
    """
    r, w = _pair(reference, window)
    both = r + w
    expected = both * min(r.sum(), w.sum()) / both.sum()
    order = np.argsort(expected, kind="stable")
    before = np.cumsum(expected[order]) - expected[order]  # in all rarer categories
    rare = np.empty(len(both), dtype=bool)
    # A pool that is too small takes the next category in.
    rare[order] = (expected[order] < SMALLEST) | (before < SMALLEST)
    table = np.array([np.append(side[~rare], side[rare].sum()) for side in (r, w)])
    if table.shape[1] < 2:
        return 0.0, 1.0
    even = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = float(((table - even) ** 2 / even).sum())
    return statistic, float(stats.chi2.sf(statistic, table.shape[1] - 1))


def kolmogorov_smirnov(reference: ArrayLike, window: ArrayLike) -> tuple[float, float]:
    """Two-sample KS distance of finite numbers, shapes (n,) and (m,), with its asymptotic p-value.

    After Kolmogorov (1933) and Smirnov (1939). Raises ValueError where a side has no rows.
    """
    a, b = (np.sort(np.asarray(side, dtype=np.float64)) for side in (reference, window))
    if not len(a) or not len(b):
        raise ValueError(
            f"There are {len(a)} reference and {len(b)} window rows; both need at least one."
        )
    both = np.concatenate([a, b])
    below = [np.searchsorted(side, both, side="right") / len(side) for side in (a, b)]
    distance = float(np.abs(below[0] - below[1]).max())
    n, m = len(a), len(b)
    return distance, float(stats.kstwobign.sf(distance * np.sqrt(n * m / (n + m))))


def edges_of(reference: ArrayLike) -> Floats:
    """Inner edges, at most BINS - 1, of bins of equal share of the reference that is there."""
    values = np.asarray(reference, dtype=np.float64)
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise ValueError("The reference holds no finite number; a column without any cannot drift.")
    return np.unique(np.quantile(finite, np.arange(1, BINS) / BINS))


def counts_of_numbers(values: ArrayLike, edges: ArrayLike) -> Floats:
    """Counts by bin, shape (edges + 2,): bin i holds edge[i-1] < value <= edge[i].

    The last one holds missing numbers.
    """
    numbers, inner = np.asarray(values, dtype=np.float64), np.asarray(edges, dtype=np.float64)
    missing = np.isnan(numbers)
    places = np.searchsorted(inner, numbers[~missing], side="left")
    counts = np.bincount(places, minlength=len(inner) + 1)
    return np.append(counts, missing.sum()).astype(np.float64)


def compare_numbers(reference: ArrayLike, window: ArrayLike) -> Shift:
    """Shift of a column of numbers, shapes (n,) and (m,).

    KS on those that are there, chi-square on how many are missing; the p-value is twice the smaller
    of the two where any is missing (Bonferroni).
    """
    a, b = np.asarray(reference, dtype=np.float64), np.asarray(window, dtype=np.float64)
    edges = edges_of(a)
    r, w = counts_of_numbers(a, edges), counts_of_numbers(b, edges)
    there = b[~np.isnan(b)]
    distance, p = kolmogorov_smirnov(a[~np.isnan(a)], there) if len(there) else (1.0, 1.0)
    if r[-1] + w[-1]:
        _, p_missing = chi_square([r[:-1].sum(), r[-1]], [w[:-1].sum(), w[-1]])
        p = min(1.0, 2 * min(p, p_missing))
    return Shift("Kolmogorov-Smirnov", distance, p, psi(r, w), psi_expected(r, w))


def compare_categories(reference: Mapping[object, float], window: Mapping[object, float]) -> Shift:
    """Shift of a column from its counts by category; new and vanished ones count as such."""
    names = list(dict.fromkeys([*reference, *window]))
    r, w = (
        np.array([counts.get(name, 0) for name in names], dtype=np.float64)
        for counts in (reference, window)
    )
    statistic, p = chi_square(r, w)
    return Shift("chi-square", statistic, p, psi(r, w), psi_expected(r, w))


def judge_shifts(
    shifts: Mapping[str, Shift], *, alpha: float = 0.02, minimum: float = MINIMUM
) -> dict[str, Finding]:
    """Findings by column of one window, with a false alarm in at most alpha of windows (Holm 1979).

    A shift must also exceed what sampling gives by minimum (PSI), so that a large window does not
    alarm on nothing.
    """
    check_between(alpha, "alpha", 0, 1)
    if not shifts:
        return {}
    adjusted = holm([shift.p_value for shift in shifts.values()]).tolist()
    return {
        name: Finding(p < alpha and shift.psi - shift.psi_expected >= minimum, p, shift)
        for (name, shift), p in zip(shifts.items(), adjusted, strict=True)
    }


def _pair(reference: ArrayLike, window: ArrayLike) -> tuple[Floats, Floats]:
    """Both as counts of the same bins, each with a row at least; else raise ValueError."""
    r, w = np.asarray(reference, dtype=np.float64), np.asarray(window, dtype=np.float64)
    if r.shape != w.shape or r.ndim != 1:
        raise ValueError(
            f"The counts have shapes {r.shape} and {w.shape}; both need one count a bin."
        )
    if min(r.sum(), w.sum()) <= 0 or min(r.min(), w.min()) < 0:
        raise ValueError("Counts sum to 0 or are negative; the reference and the window need rows.")
    return r, w
