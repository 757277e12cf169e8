"""A window of rows against the reference: which columns, which relations between them and which losses have moved."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from ..statistics.drift import Shift, compare_categories, compare_numbers, drifted
from ..statistics.multiplicity import holm

ALPHA = 0.0025  # false alarms of a window: 2 % over eight questions, which monitoring asks of it
RELATED = 12  # columns whose relations are watched
MOVED = 0.1  # change of a rank correlation that matters
WORSE = 0.05  # change of the mean loss, as a share of it, that matters
LEVELS = 50  # categories told apart; rarer ones count as one
COPIED = 0.1  # share of rows beyond the usual that equal a row of the reference


@dataclass(frozen=True)
class Window:
    """Rows as monitoring sees them: inputs, scores as columns, and where outcomes are known the loss and outcome less score of each row."""

    inputs: pd.DataFrame
    scores: pd.DataFrame | None = None
    losses: np.ndarray | None = None
    gaps: np.ndarray | None = None


def window_of(
    inputs: pd.DataFrame, scores: np.ndarray, target: np.ndarray, losses: np.ndarray
) -> Window:
    """A window of scored rows: scores of shape (n,) or (n, classes), the target as numbers or class numbers, the loss of each row.

    Outcome less score is, with several classes, that of the most frequent one.
    """
    most = int(np.bincount(target.astype(int)).argmax()) if scores.ndim == 2 else 0
    gaps = (target == most) - scores[:, most] if scores.ndim == 2 else target - scores
    return Window(
        inputs.reset_index(drop=True),
        pd.DataFrame(scores.reshape(len(scores), -1)).add_prefix("score "),
        losses,
        gaps,
    )


def alarms_of(usual: Window, now: Window, strongest: list[str], expected: int) -> dict[str, str]:
    """What monitoring says of a window, by what moved: columns, relations of the strongest, volume, copies, scores, loss, bias.

    Columns that are gone are the contract's to tell.
    """
    known = [c for c in usual.inputs if c in now.inputs]
    numeric = [c for c in strongest if c in known and pd.api.types.is_numeric_dtype(now.inputs[c])]
    found = alarms(plain(usual.inputs[known]), plain(now.inputs[known]), numeric)
    found |= {"volume": row_count(expected, len(now.inputs))}
    found |= {"copies": copies(usual.inputs, now.inputs)} if known == list(now.inputs) else {}
    if usual.scores is not None and now.scores is not None:
        found |= alarms(usual.scores, now.scores, [])
    if usual.losses is not None and now.losses is not None:
        found |= {"loss": worse(usual.losses, now.losses)}
    if usual.gaps is not None and now.gaps is not None:
        found |= {"bias": biased(usual.gaps, now.gaps)}
    return {name: said for name, said in found.items() if said}


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns as drift sees them: times as days, infinite numbers as missing, the rest as they are."""
    times = {
        str(c): (pd.to_datetime(frame[c], utc=True) - pd.Timestamp(0, tz="UTC"))
        / pd.Timedelta(days=1)
        for c in frame.select_dtypes(["datetime", "datetimetz"])
    }
    return frame.assign(**times).replace([np.inf, -np.inf], np.nan)


def alarms(reference: pd.DataFrame, window: pd.DataFrame, related: list[str]) -> dict[str, str]:
    """What moved, by column or pair of columns, each with its figure; `related` are the columns whose relations are watched.

    Columns of text are categories; both frames need the same columns.
    """
    shifts = {
        str(name): shift_of(reference[name], window[name])
        for name in reference
        if reference[name].notna().any()
    }
    found = {
        name: f"{f.shift.test} {f.shift.statistic:.3g}, PSI {f.shift.psi:.2f}"
        for name, f in drifted(shifts, alpha=ALPHA).items()
        if f.drifted
    }
    return found | relations(reference, window, related[:RELATED])


def shift_of(reference: pd.Series, window: pd.Series) -> Shift:
    """The shift of one column, numbers or categories."""
    if pd.api.types.is_numeric_dtype(reference) and pd.api.types.is_numeric_dtype(window):
        return compare_numbers(reference.astype(float), window.astype(float))
    texts = [
        side.astype(object).where(side.notna(), "missing").astype(str)
        for side in (reference, window)
    ]
    levels = set(texts[0].value_counts().index[:LEVELS])
    known, new = (
        text.where(text.isin(levels), "another").value_counts().to_dict() for text in texts
    )
    return compare_categories(known, new)


def spread_of(a: np.ndarray, b: np.ndarray) -> float:
    """Deviation of Fisher's z of two standardised columns for a single row, shape (n,) each: by the influence of each row (Devlin et al. 1975).

    Unlike the formula for ranks of normal columns (Bonett & Wright 2000), its floor, it holds where one column tells how far, not which way, the other strays.
    """
    r = float(np.clip(np.nanmean(a * b), -0.999, 0.999))
    return max(
        float(np.sqrt(1 + r * r / 2)), float(np.nanstd(a * b - r * (a**2 + b**2) / 2)) / (1 - r * r)
    )


def relations(reference: pd.DataFrame, window: pd.DataFrame, columns: list[str]) -> dict[str, str]:
    """Pairs of numbers whose rank correlation moved: Fisher's z (1915) with the variance that the reference shows, Holm (1979)."""
    kept = [
        c
        for c in columns
        if all(
            pd.api.types.is_numeric_dtype(f[c]) and f[c].nunique() > 2 for f in (reference, window)
        )
    ]
    if len(kept) < 2 or min(len(reference), len(window)) < 30:
        return {}
    before, now = (f[kept].astype(float).corr("spearman").to_numpy() for f in (reference, window))
    pairs = list(combinations(range(len(kept)), 2))
    moves = np.array([now[i, j] - before[i, j] for i, j in pairs])
    gaps = np.array(
        [
            np.arctanh(np.clip(now[i, j], -0.999, 0.999))
            - np.arctanh(np.clip(before[i, j], -0.999, 0.999))
            for i, j in pairs
        ]
    )
    ranks = reference[kept].astype(float).rank()
    scaled = ((ranks - ranks.mean()) / ranks.std()).to_numpy()
    spread = np.array([spread_of(scaled[:, i], scaled[:, j]) for i, j in pairs]) * np.sqrt(
        1 / len(reference) + 1 / len(window)
    )
    adjusted = holm(2 * stats.norm.sf(np.abs(gaps) / spread))
    return {
        f"{kept[i]} with {kept[j]}": f"rank correlation {before[i, j]:.2f}, now {now[i, j]:.2f}"
        for (i, j), p, move in zip(pairs, adjusted, moves, strict=True)
        if p < ALPHA and abs(move) > MOVED
    }


def worse(reference: ArrayLike, window: ArrayLike) -> str:
    """The mean loss a row when it rose by chance in fewer than ALPHA of windows and by a size that matters; "" when not (Welch 1947)."""
    before, now = (np.asarray(side, dtype=float) for side in (reference, window))
    if min(len(before), len(now)) < 10 or now.mean() <= before.mean() * (1 + WORSE):
        return ""
    test = stats.ttest_ind(now, before, equal_var=False, alternative="greater")
    return f"mean loss {before.mean():.4g}, now {now.mean():.4g}" if test.pvalue < ALPHA else ""


def biased(reference: ArrayLike, window: ArrayLike) -> str:
    """The mean of outcome less score when it moved by more than chance and a tenth of its spread; "" when not (Welch 1947)."""
    before, now = (np.asarray(side, dtype=float) for side in (reference, window))
    if min(len(before), len(now)) < 10 or abs(now.mean() - before.mean()) < 0.1 * before.std():
        return ""
    return (
        f"outcomes less scores {before.mean():+.3g}, now {now.mean():+.3g}"
        if stats.ttest_ind(now, before, equal_var=False).pvalue < ALPHA
        else ""
    )


def copies(reference: pd.DataFrame, window: pd.DataFrame) -> str:
    """How many rows equal one of the reference, where that is far more than among the reference itself; "" when not."""
    known, came = (pd.util.hash_pandas_object(side, index=False) for side in (reference, window))
    usual, now = float(known.duplicated(keep=False).mean()), float(came.isin(known).mean())
    return (
        f"{now:.0%} of the rows are copies of earlier ones (usual: {usual:.0%})"
        if now > usual + COPIED
        else ""
    )


def row_count(expected: int, rows: int) -> str:
    """How many rows came, when a fifth fewer or a quarter more than expected; "" when not."""
    return (
        f"{rows:,} rows came, {expected:,} were expected"
        if not 0.8 * expected <= rows <= 1.25 * expected
        else ""
    )
