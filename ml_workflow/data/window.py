"""A window of rows against the reference window: which columns, relations and losses have moved."""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from ..decision.kinds import Array, Kind
from ..statistics.drift import Shift, compare_categories, compare_numbers, drifted
from ..statistics.multiplicity import holm
from .columns import days

ALPHA = 0.0025  # false alarms of a window: 2 % over eight questions, which monitoring asks of it
RELATED = 12  # columns whose relations are watched
MOVED = 0.1  # change of a rank correlation that matters
WORSE = 0.05  # change of the mean loss, as a share of it, that matters
LEVELS = 50  # categories told apart; rarer ones count as one
COPIED = 0.1  # share of rows, beyond the reference's own, that equal a row of the reference
NEARLY_ONE = 0.999  # the largest correlation that Fisher's z is taken of


@dataclass(frozen=True)
class Window:
    """Rows as monitoring sees them: inputs, and scores as columns.

    `losses` are, of rows whose outcomes are known, loss and residual (outcome less score).
    """

    inputs: pd.DataFrame
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    losses: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=["loss", "residual"], dtype=float)
    )


def window_of(kind: Kind, inputs: pd.DataFrame, scores: Array, outcomes: Array) -> Window:
    """A window of scored rows whose outcomes, shape (n,), are known.

    Scores have shape (n,) or (n, classes). Residuals are, with several classes, those of the most
    frequent one.
    """
    encoded = kind.encode(outcomes)
    most = int(np.bincount(encoded.astype(int)).argmax()) if scores.ndim == 2 else 0
    residuals = (encoded == most) - scores[:, most] if scores.ndim == 2 else encoded - scores
    columns = pd.DataFrame(scores.reshape(len(scores), -1)).add_prefix("score ")
    known = pd.DataFrame({"loss": kind.losses(scores, outcomes), "residual": residuals})
    return Window(inputs.reset_index(drop=True), columns, known)


def alarms_of(
    reference: Window, window: Window, strongest: list[str], expected: int
) -> dict[str, str]:
    """What monitoring says of a window, by what moved.

    That is columns, relations of the strongest, volume, copies, scores, loss and bias; columns
    that are gone are the contract's to tell.
    """
    before, now = reference.inputs, window.inputs
    known = [c for c in before if c in now]
    numeric = [c for c in strongest if c in known and pd.api.types.is_numeric_dtype(now[c])]
    moved = alarms(plain(before[known]), plain(now[known]), numeric)
    moved["volume"] = row_count(expected, len(now))
    if known == list(now):
        moved["copies"] = copies(before, now)
    if len(window.scores):
        moved |= alarms(reference.scores, window.scores, [])
    moved["loss"] = worse(reference.losses["loss"], window.losses["loss"])
    moved["bias"] = biased(reference.losses["residual"], window.losses["residual"])
    return {name: words for name, words in moved.items() if words}


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns as drift sees them: times as days, infinite numbers as missing, else as they are."""
    times = frame.select_dtypes(["datetime", "datetimetz"])
    in_days = frame.assign(**{str(c): days(times[c]) for c in times})
    return in_days.replace([np.inf, -np.inf], np.nan)


def alarms(reference: pd.DataFrame, window: pd.DataFrame, related: list[str]) -> dict[str, str]:
    """What moved, by column or pair of columns, each with its figure.

    `related` are the columns whose relations are watched; texts are categories; both frames need
    the same columns.
    """
    known = [name for name in reference if reference[name].notna().any()]
    shifts = {str(name): shift_of(reference[name], window[name]) for name in known}
    moved = {
        name: f"{shifts[name].test} {shifts[name].statistic:.3g}, PSI {shifts[name].psi:.2f}"
        for name in drifted(shifts, alpha=ALPHA)
    }
    return moved | relations(reference, window, related[:RELATED])


def shift_of(reference: pd.Series, window: pd.Series) -> Shift:
    """The shift of one column, numbers or categories."""
    sides = [reference, window]
    if all(pd.api.types.is_numeric_dtype(side) for side in sides):
        return compare_numbers(*(side.astype(float) for side in sides))
    before, now = (s.astype(object).where(s.notna(), "missing").astype(str) for s in sides)
    levels = set(before.value_counts().index[:LEVELS])
    counts = [t.where(t.isin(levels), "another").value_counts().to_dict() for t in (before, now)]
    return compare_categories(*counts)


def relations(reference: pd.DataFrame, window: pd.DataFrame, columns: list[str]) -> dict[str, str]:
    """Pairs of numbers whose rank correlation moved by more than chance and a size that matters.

    Fisher's z (1915) with the variance that the reference shows, corrected by Holm (1979).
    """
    sides = [reference, window]
    names = [c for c in columns if all(_varies(side[c]) for side in sides)]
    if len(names) < 2 or min(len(reference), len(window)) < 30:
        return {}
    ranks = reference[names].astype(float).rank()
    scaled = (ranks - ranks.mean()) / ranks.std()
    pairs = list(combinations(names, 2))
    spread = [deviation_of_z(scaled[a].to_numpy(), scaled[b].to_numpy()) for a, b in pairs]
    chance = np.array(spread) * np.sqrt(1 / len(reference) + 1 / len(window))
    upper = np.triu_indices(len(names), 1)  # the pairs, in the same order
    before, now = (side[names].astype(float).corr("spearman").to_numpy()[upper] for side in sides)
    z_before, z_now = np.arctanh(np.clip([before, now], -NEARLY_ONE, NEARLY_ONE))
    adjusted = holm(2 * stats.norm.sf(np.abs(z_now - z_before) / chance))
    moved = (adjusted < ALPHA) & (np.abs(now - before) > MOVED)
    return {
        " with ".join(pairs[i]): f"rank correlation {before[i]:.2f}, now {now[i]:.2f}"
        for i in np.flatnonzero(moved)
    }


def _varies(column: pd.Series) -> bool:
    """Whether a column holds more than two numbers."""
    return pd.api.types.is_numeric_dtype(column) and column.nunique() > 2


def deviation_of_z(a: np.ndarray, b: np.ndarray) -> float:
    """Deviation of Fisher's z for one row of two standardised columns, shape (n,) each.

    By the influence of each row (Devlin et al. 1975). Unlike the formula for ranks of normal
    columns (Bonett & Wright 2000), its floor, it holds where one column tells how far, not which
    way, the other strays.
    """
    r = float(np.clip(np.nanmean(a * b), -NEARLY_ONE, NEARLY_ONE))
    by_influence = float(np.nanstd(a * b - r * (a**2 + b**2) / 2)) / (1 - r * r)
    return max(float(np.sqrt(1 + r * r / 2)), by_influence)


def worse(before: pd.Series, now: pd.Series) -> str:
    """The mean loss a row, shape (n,), where it surely rose by a size that matters; else ""."""
    if not surely(before, now, "greater") or now.mean() <= before.mean() * (1 + WORSE):
        return ""
    return f"mean loss {before.mean():.4g}, now {now.mean():.4g}"


def biased(before: pd.Series, now: pd.Series) -> str:
    """The mean residual, shape (n,), where it surely moved by a tenth of its spread; else ""."""
    if not surely(before, now) or abs(now.mean() - before.mean()) < 0.1 * before.std(ddof=0):
        return ""
    return f"outcomes less scores {before.mean():+.3g}, now {now.mean():+.3g}"


def surely(before: pd.Series, now: pd.Series, than: str = "two-sided") -> bool:
    """Whether a mean moved by more than chance gives in ALPHA of windows (Welch 1947).

    Of fewer than ten rows on a side nothing is sure.
    """
    if min(len(before), len(now)) < 10:
        return False
    test = stats.ttest_ind(now, before, equal_var=False, alternative=than)
    return bool(test.pvalue < ALPHA)


def copies(reference: pd.DataFrame, window: pd.DataFrame) -> str:
    """How many rows equal one of the reference, where that is more than in itself; "" if not."""
    known, came = (pd.util.hash_pandas_object(side, index=False) for side in (reference, window))
    usual, now = float(known.duplicated(keep=False).mean()), float(came.isin(known).mean())
    if now <= usual + COPIED:
        return ""
    return f"{now:.0%} of the rows are copies of earlier ones (usual: {usual:.0%})"


def row_count(expected: int, rows: int) -> str:
    """How many rows came, when a fifth fewer or a quarter more than expected; "" when not."""
    if 0.8 * expected <= rows <= 1.25 * expected:
        return ""
    return f"{rows:,} rows came, {expected:,} were expected"
