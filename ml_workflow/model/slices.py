"""Where a model is weak: the mean loss of groups of rows against that of all others, with intervals that hold for all groups at once."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..statistics.bootstrap import interval_of_mean

GROUPS = 5  # parts of a column of numbers, and categories told apart
LEAST = 30  # rows of a group below which nothing is said


def slices(frame: pd.DataFrame, losses: ArrayLike, *, seed: int = 0) -> pd.DataFrame:
    """Groups of rows by each column (fifths of numbers, frequent categories), the weakest first.

    Columns: column, group, rows, lower, loss, upper, weak. The interval is of the group's mean loss less that of all
    rows, in the loss's unit, at 95 % for all groups together (Bonferroni); weak means that it lies above zero.
    """
    excess = np.asarray(losses, dtype=float)
    excess = excess - excess.mean()
    groups = [
        (str(name), str(group), rows)
        for name in frame
        for group, rows in groups_of(frame[name]).items()
        if len(rows) >= LEAST
    ]
    found = []
    for column, group, rows in groups:
        lower, middle, upper = interval_of_mean(
            excess[rows], level=1 - 0.05 / len(groups), seed=seed
        )
        found.append(
            {
                "column": column,
                "group": group,
                "rows": len(rows),
                "lower": lower,
                "loss": middle,
                "upper": upper,
                "weak": lower > 0,
            }
        )
    named = ["column", "group", "rows", "lower", "loss", "upper", "weak"]
    return pd.DataFrame(found, columns=named).sort_values(
        "lower", ascending=False, ignore_index=True
    )


def groups_of(column: pd.Series) -> dict[str, np.ndarray]:
    """The positions of each group of a column; missing cells are one."""
    if (
        pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)
    ) and column.nunique() > GROUPS:
        labels = pd.qcut(column, GROUPS, duplicates="drop", precision=3).astype(object)
    else:
        labels = column.astype(object).where(
            column.isin(column.value_counts().index[:GROUPS]), "another"
        )
    return {
        str(group): np.flatnonzero(labels.where(column.notna(), "missing") == group)
        for group in pd.unique(labels.where(column.notna(), "missing"))
    }
