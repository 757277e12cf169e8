"""Models fitted and scored on rows that they have not seen."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.pipeline import Pipeline

from ..decision.kinds import Array, Kind
from ..errors import Refusal
from ..task.definition import Task
from .families import Shape, lightgbm
from .vectorizing import scaled, vectorized

Folds = list[tuple[Array, Array]]
"""Pairs of positions: rows to fit on, rows to score."""


def scored(model: Any, frame: pd.DataFrame) -> Array:
    """Scores of a fitted model, shape (n,): probability of the positive class, or numbers.

    Shape (n, classes) where there are more than two classes.
    """
    if hasattr(model, "predict_proba"):
        return scores_of(model.predict_proba(frame))
    # a blend's mean adds its members in another order for one row alone
    more = pd.concat([frame, frame]) if len(frame) == 1 else frame
    return np.asarray(model.predict(more), dtype=float)[: len(frame)]


def scores_of(probabilities: Array) -> Array:
    """Probabilities of shape (n, classes) as scores: of two classes the second's, shape (n,).

    Numbers stay as they are.
    """
    return probabilities[:, 1] if probabilities.shape[1:] == (2,) else probabilities


def folds_of(kind: Kind, frame: pd.DataFrame, folds: int, seed: int) -> Folds:
    """Folds of the rows, in time order or by whole groups where the task splits so."""
    if folds < 2:
        raise Refusal(
            f"The parameter folds is {folds}: give at least 2, "
            "so that every model is judged on rows it has not seen."
        )
    split = kind.task.split
    if split.by == "time":
        order = np.argsort(pd.to_datetime(frame[split.column]).to_numpy(), kind="stable")
        return [(order[fit], order[test]) for fit, test in TimeSeriesSplit(folds).split(order)]
    if split.by == "group":
        return list(GroupKFold(folds).split(frame, groups=frame[split.column].astype(str)))
    return shuffled_folds(kind, kind.outcomes(frame), folds, seed)


def shuffled_folds(kind: Kind, outcomes: Array, folds: int, seed: int) -> Folds:
    """Folds of rows in any order, each with the same share of every class."""
    splitter = kind.choose(StratifiedKFold, KFold)(folds, shuffle=True, random_state=seed)
    return list(splitter.split(outcomes, outcomes.astype(str)))


def halved(task: Task, folds: Folds, seed: int) -> Folds:
    """The folds with half of the rows to fit on: the later ones in time order, else any."""
    rng = np.random.default_rng(seed)

    def half(fit: Array) -> Array:
        if task.split.by == "time":
            return fit[len(fit) // 2 :]
        return np.sort(rng.permutation(fit)[: max(len(fit) // 2, 2)])

    return [(half(fit), test) for fit, test in folds]


def judged_rows(folds: Folds) -> Array:
    """The positions of the rows that some fold scores, in their order."""
    return np.sort(np.concatenate([test for _, test in folds]))


def out_of_fold(model: Any, table: pd.DataFrame, target: Array, folds: Folds) -> Array:
    """Scores by models that have not seen the row, shape (n,) or (n, classes).

    Rows that no fold scores (the earliest in time) are NaN. The target is encoded, shape (n,).
    """
    return assembled(
        len(table),
        [
            (test, scored(clone(model).fit(table.iloc[fit], target[fit]), table.iloc[test]))
            for fit, test in folds
        ],
    )


def assembled(rows: int, parts: Folds) -> Array:
    """The scores of each fold, given with their rows' positions, in one array; NaN elsewhere."""
    whole = np.full((rows, *parts[0][1].shape[1:]), np.nan)
    for test, scores in parts:
        whole[test] = scores
    return whole


def constant(kind: Kind) -> BaseEstimator:
    """The guess that knows only how often each outcome happens."""
    return kind.choose(DummyClassifier(strategy="prior"), DummyRegressor())


def linear(kind: Kind) -> Pipeline:
    """Logistic or ridge regression on filled and scaled numbers."""
    ridge = RidgeCV(np.logspace(-2, 4, 13))
    return scaled(kind.choose(LogisticRegression(max_iter=500, C=0.1), ridge))


def booster(
    kind: Kind,
    rows: int,
    seed: int,
    learning_rate: float = 0.05,
    leaves: int = 31,
    trees: int = 150,
) -> Pipeline:
    """LightGBM with a leaf size that fits a table of so many rows."""
    given = {
        "learning_rate": learning_rate,
        "num_leaves": leaves,
        "min_child_samples": max(5, min(60, rows // 100)),
        "subsample": 0.8,
        "colsample_bytree": 0.6,
        "reg_lambda": 5.0,
    }
    return vectorized(lightgbm(given, Shape(rows, 0, kind), trees, seed))
