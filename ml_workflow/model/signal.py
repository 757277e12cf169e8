"""What each column tells of the target alone."""

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from ..decision.target import codes, losses
from ..task.definition import Split, Task
from .fitting import constant, folds_of, out_of_fold
from .vectorizing import numbers


def signal(
    task: Task, table: pd.DataFrame, truth: np.ndarray, classes: list[str], seed: int
) -> pd.Series:
    "Share of the constant guess's loss that each column removes alone, out of fold, largest first."
    leaf = max(5, len(table) // 100)
    tree = (DecisionTreeClassifier if classes else DecisionTreeRegressor)(
        max_depth=4, min_samples_leaf=leaf, random_state=seed
    )
    target = codes(truth, classes)
    folds = folds_of(task.model_copy(update={"split": Split()}), table, truth, 3, seed)
    base = losses(
        task, out_of_fold(constant(classes), table[[]].assign(x=0), target, folds), truth, classes
    ).mean()
    found = {}
    for name in table:
        one = numbers(table[name]).to_frame()
        found[name] = (
            1 - losses(task, out_of_fold(tree, one, target, folds), truth, classes).mean() / base
        )
    return pd.Series(found, name="share of loss removed").sort_values(ascending=False)
