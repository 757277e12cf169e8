"""Reading a fitted model: what its score would lose without a column, and how it moves with one."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def importance(
    losses: Callable[[pd.DataFrame], Floats],
    frame: pd.DataFrame,
    columns: list[str],
    repeats: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """How much the mean loss rises when a column's cells change places (Breiman 2001), the most first.

    `losses` gives the loss of each row of a frame, shape (n,). Columns: rise and spread (the standard deviation over the repeats).
    """
    rng, usual = np.random.default_rng(seed), losses(frame).mean()
    many = pd.concat(
        [frame] * repeats, ignore_index=True
    )  # scored together: most of the cost of few rows is in the asking

    def rises(column: str) -> Floats:
        order = np.concatenate(
            [i * len(frame) + rng.permutation(len(frame)) for i in range(repeats)]
        )
        return (
            losses(many.assign(**{column: many[column].array[order]}))
            .reshape(repeats, -1)
            .mean(axis=1)
            - usual
        )

    found = {column: rises(column) for column in columns}
    return pd.DataFrame(
        {c: {"rise": np.mean(r), "spread": np.std(r)} for c, r in found.items()}
    ).T.sort_values("rise", ascending=False)


def dependence(
    score: Callable[[pd.DataFrame], Floats], frame: pd.DataFrame, column: str, points: int = 12
) -> pd.DataFrame:
    """The mean score when every row had this value of the column (partial dependence, Friedman 2001), over its 5 % to 95 % range or categories."""
    known = frame[column].dropna()
    numeric = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    values = (
        np.unique(known.quantile(np.linspace(0.05, 0.95, points), interpolation="nearest"))
        if numeric
        else known.value_counts().index[:points]
    )
    many = pd.concat(
        [
            frame.assign(**{column: pd.Series(value, index=frame.index, dtype=frame[column].dtype)})
            for value in values
        ],
        ignore_index=True,
    )
    return pd.DataFrame(
        {"value": values, "score": score(many).reshape(len(values), -1).mean(axis=1)}
    )
