"""What each column tells of the target alone."""

import pandas as pd
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from ..decision.kinds import Kind
from .fitting import constant, out_of_fold, shuffled_folds
from .vectorizing import as_numbers


def signal_by_column(kind: Kind, table: pd.DataFrame, frame: pd.DataFrame, seed: int) -> pd.Series:
    """Share of the constant guess's loss that each column removes alone, largest first.

    A small tree sees one column of `table` at a time, out of fold; `frame` has its target.
    """
    outcomes = kind.outcomes(frame)
    target = kind.encode(outcomes)
    folds = shuffled_folds(kind, outcomes, 3, seed)
    options = {"max_depth": 4, "min_samples_leaf": max(5, len(table) // 100), "random_state": seed}
    tree = kind.choose(DecisionTreeClassifier, DecisionTreeRegressor)(**options)

    def loss(model: object, columns: pd.DataFrame) -> float:
        scores = out_of_fold(model, columns, target, folds)
        return float(kind.losses(scores, outcomes).mean())

    base = loss(constant(kind), table[[]].assign(x=0))
    shares = {name: 1 - loss(tree, as_numbers(table[name]).to_frame()) / base for name in table}
    return pd.Series(shares, name="share of loss removed").sort_values(ascending=False)
