"""Has the world moved since training: distance and significance of a window against a reference."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .checks import Floats
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


def psi(reference: Floats, window: Floats) -> tuple[float, float]:
    """Population stability index of counts, shape (bins,), and its mean without drift.

    Half a row is added to each bin; the mean is (filled bins - 1)(1/n + 1/m) (Yurdakul 2018).
    Raises ValueError where a side has no rows.
    """
    n, m = reference.sum(), window.sum()
    if not min(n, m) > 0:
        raise ValueError("Counts sum to 0; the reference and the window need rows.")
    p, q = ((counts + 0.5) / (counts + 0.5).sum() for counts in (reference, window))
    filled = np.count_nonzero(reference + window)
    return float(((q - p) * np.log(q / p)).sum()), float((filled - 1) * (1 / n + 1 / m))


def chi_square(reference: Floats, window: Floats) -> tuple[float, float]:
    """Two-sample chi-square of counts by category (Pearson 1900): statistic and p-value.

    Rare categories are pooled.
    """
    both = reference + window
    expected = both * min(reference.sum(), window.sum()) / both.sum()
    order = np.argsort(expected, kind="stable")
    before = np.cumsum(expected[order]) - expected[order]  # in all rarer categories
    rare = np.empty(len(both), dtype=bool)
    # A pool that is too small takes the next category in.
    rare[order] = (expected[order] < SMALLEST) | (before < SMALLEST)
    table = [[*side[~rare], side[rare].sum()] for side in (reference, window)]
    if len(table[0]) < 2:
        return 0.0, 1.0
    found = stats.chi2_contingency(table, correction=False)
    return float(found.statistic), float(found.pvalue)


def edges_of(reference: Floats) -> Floats:
    """Inner edges, at most BINS - 1, of bins of equal share of the reference that is there."""
    finite = reference[np.isfinite(reference)]
    if not len(finite):
        raise ValueError("The reference holds no finite number; a column without any cannot drift.")
    return np.unique(np.quantile(finite, np.arange(1, BINS) / BINS))


def counts_of_numbers(values: Floats, edges: Floats) -> Floats:
    """Counts by bin, shape (edges + 2,): bin i holds edge[i-1] < value <= edge[i].

    The last one holds missing numbers.
    """
    last = len(edges) + 1
    places = np.where(np.isnan(values), last, np.searchsorted(edges, values, side="left"))
    return np.bincount(places, minlength=last + 1).astype(np.float64)


def compare_numbers(reference: ArrayLike, window: ArrayLike) -> Shift:
    """Shift of a column of numbers, shapes (n,) and (m,).

    KS (Kolmogorov 1933, Smirnov 1939) on those that are there, chi-square on how many are missing;
    the p-value is twice the smaller of the two where any is missing (Bonferroni).
    """
    a, b = np.asarray(reference, dtype=np.float64), np.asarray(window, dtype=np.float64)
    edges = edges_of(a)
    r, w = counts_of_numbers(a, edges), counts_of_numbers(b, edges)
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    distance, p = stats.ks_2samp(a, b, method="asymp") if len(b) else (1.0, 1.0)
    if r[-1] + w[-1]:
        missing = (np.array([len(there), gone]) for there, gone in ((a, r[-1]), (b, w[-1])))
        p = min(1.0, 2 * min(p, chi_square(*missing)[1]))
    return Shift("Kolmogorov-Smirnov", float(distance), float(p), *psi(r, w))


def compare_categories(reference: Mapping[object, float], window: Mapping[object, float]) -> Shift:
    """Shift of a column from its counts by category; new and vanished ones count as such."""
    names = list(dict.fromkeys([*reference, *window]))
    r, w = (
        np.array([counts.get(name, 0) for name in names], dtype=np.float64)
        for counts in (reference, window)
    )
    return Shift("chi-square", *chi_square(r, w), *psi(r, w))


def drifted(
    shifts: Mapping[str, Shift], *, alpha: float = 0.02, minimum: float = MINIMUM
) -> list[str]:
    """The columns of one window that drifted, falsely in at most alpha of windows (Holm 1979).

    A shift must also exceed what sampling gives by minimum (PSI), so that a large window does not
    alarm on nothing.
    """
    adjusted = holm([shift.p_value for shift in shifts.values()])
    return [
        name
        for (name, shift), p in zip(shifts.items(), adjusted, strict=True)
        if p < alpha and shift.psi - shift.psi_expected >= minimum
    ]
