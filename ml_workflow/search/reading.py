"""Reading a fitted model: what its score would lose without a column, and how it moves with one."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def importance(losses: Callable[[pd.DataFrame], Floats], frame: pd.DataFrame, columns: list[str], repeats: int = 4, seed: int = 0) -> pd.DataFrame:
    """How much the mean loss rises when a column's cells change places (Breiman 2001), the most first.

    `losses` gives the loss of each row of a frame. Columns: rise and spread (the standard deviation over the repeats).
    """
    rng, usual = np.random.default_rng(seed), losses(frame).mean()
    rises = {c: [losses(frame.assign(**{c: frame[c].to_numpy()[rng.permutation(len(frame))]})).mean() - usual for _ in range(repeats)] for c in columns}
    return pd.DataFrame({c: {"rise": np.mean(r), "spread": np.std(r)} for c, r in rises.items()}).T.sort_values("rise", ascending=False)


def dependence(score: Callable[[pd.DataFrame], Floats], frame: pd.DataFrame, column: str, points: int = 12) -> pd.DataFrame:
    """The mean score when every row had this value of the column (partial dependence, Friedman 2001), over its 5 % to 95 % range or categories."""
    known = frame[column].dropna()
    numeric = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    values = np.unique(known.quantile(np.linspace(0.05, 0.95, points), interpolation="nearest")) if numeric else known.value_counts().index[:points]
    means = [np.mean(score(frame.assign(**{column: pd.Series(value, index=frame.index, dtype=frame[column].dtype)})), axis=0) for value in values]
    return pd.DataFrame({"value": values, "score": means})
