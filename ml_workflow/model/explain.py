"""What a fitted model looks at, how its score moves with a column, and where it is weak."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..decision.kinds import Array
from ..statistics.bootstrap import interval_of_mean

GROUPS = 5
"""Parts of a column of numbers, and categories told apart."""
LEAST = 30
"""Rows of a group below which nothing is said."""


def importance(
    losses: Callable[[pd.DataFrame], Array],
    frame: pd.DataFrame,
    columns: list[str],
    repeats: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """How much the mean loss rises when a column's cells change places (Breiman 2001), most first.

    `losses` gives the loss of each row of a frame, shape (n,). Columns: rise and spread (the
    standard deviation over the repeats).
    """
    rng, usual, size = np.random.default_rng(seed), losses(frame).mean(), len(frame)
    # scored together: most of the cost of few rows is in the asking
    many = pd.concat([frame] * repeats, ignore_index=True)
    rows = {}
    for column in columns:
        order = np.concatenate([i * size + rng.permutation(size) for i in range(repeats)])
        shuffled = losses(many.assign(**{column: many[column].array[order]}))
        rises = shuffled.reshape(repeats, -1).mean(axis=1) - usual
        rows[column] = {"rise": np.mean(rises), "spread": np.std(rises)}
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("rise", ascending=False)


def dependence(
    score: Callable[[pd.DataFrame], Array], frame: pd.DataFrame, column: str, points: int = 12
) -> pd.DataFrame:
    """The mean score when every row had this value of the column (Friedman 2001).

    Columns: value, over the column's 5 % to 95 % range or its categories, and score.
    """
    known = frame[column].dropna()
    if pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known):
        shares = np.linspace(0.05, 0.95, points)
        values = np.unique(known.quantile(shares, interpolation="nearest"))
    else:
        values = known.value_counts().index[:points].to_numpy()
    many = pd.concat([frame] * len(values), ignore_index=True)
    same = pd.Series(np.repeat(values, len(frame)), dtype=frame[column].dtype)
    scores = score(many.assign(**{column: same})).reshape(len(values), -1)
    return pd.DataFrame({"value": values, "score": scores.mean(axis=1)})


def slices(frame: pd.DataFrame, losses: ArrayLike, *, seed: int = 0) -> pd.DataFrame:
    """Groups of rows by each column (fifths of numbers, frequent categories), the weakest first.

    Columns: column, group, rows, lower, loss, upper, weak. The interval is of the group's mean loss
    less that of all rows, in the loss's unit, at 95 % for all groups together (Bonferroni); weak
    means that it lies above zero.
    """
    excess = np.asarray(losses, dtype=float)
    excess = excess - excess.mean()
    groups = [
        (str(name), group, rows)
        for name in frame
        for group, rows in groups_of(frame[name]).items()
        if len(rows) >= LEAST
    ]
    level = 1 - 0.05 / max(len(groups), 1)
    table = []
    for column, group, rows in groups:
        lower, loss, upper = interval_of_mean(excess[rows], level=level, seed=seed)
        table.append((column, group, len(rows), lower, loss, upper, lower > 0))
    named = ["column", "group", "rows", "lower", "loss", "upper", "weak"]
    weakest = pd.DataFrame(table, columns=named).sort_values("lower", ascending=False)
    return weakest.reset_index(drop=True)


def groups_of(column: pd.Series) -> dict[str, Array]:
    """The positions of each group of a column; missing cells are one."""
    types = pd.api.types
    ordered = types.is_numeric_dtype(column) or types.is_datetime64_any_dtype(column)
    if ordered and column.nunique() > GROUPS:
        labels = pd.qcut(column, GROUPS, duplicates="drop", precision=3).astype(object)
    else:
        frequent = column.isin(column.value_counts().index[:GROUPS])
        labels = column.astype(object).where(frequent, "another")
    names = labels.where(column.notna(), "missing").astype(str)
    return {group: np.flatnonzero(names == group) for group in pd.unique(names)}
