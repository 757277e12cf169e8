"""Whether the world moved between development and holdout."""

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from ..data.joins import inputs
from ..task.definition import Task
from .vectorizing import as_numbers


def drift_between_parts(
    task: Task, development: pd.DataFrame, holdout: pd.DataFrame, seed: int
) -> tuple[float, str]:
    """How well trees tell rows of the two parts apart (ROC AUC, out of fold), and by which column.

    Adversarial validation on at most 3,000 rows of each. Times count as drift only where nothing
    orders the rows.
    """
    rows = min(3000, len(development), 3 * len(holdout))
    sizes = [rows, min(len(holdout), rows)]
    parts = zip((development, holdout), sizes, strict=True)
    both = pd.concat([inputs(task, part.sample(size, random_state=seed)) for part, size in parts])
    if task.split.by == "time":
        times = [str(c) for c in both.select_dtypes(["datetime", "datetimetz"])]
        both = both.drop(columns=[*times, str(task.split.column)], errors="ignore")
    if min(sizes) < 10 or both.shape[1] == 0:
        return 0.5, ""
    table = both.apply(as_numbers).reset_index(drop=True).astype(float)
    table = table.fillna(table.median()).fillna(0).clip(-1e30, 1e30)
    is_holdout = np.repeat([0, 1], sizes)
    trees = ExtraTreesClassifier(
        60, min_samples_leaf=10, class_weight="balanced", random_state=seed, n_jobs=1
    )
    probabilities = cross_val_predict(trees, table, is_holdout, cv=3, method="predict_proba")
    strongest = trees.fit(table, is_holdout).feature_importances_.argmax()
    return float(roc_auc_score(is_holdout, probabilities[:, 1])), str(table.columns[strongest])
