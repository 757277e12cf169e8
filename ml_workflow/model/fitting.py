"""Models fitted and scored on rows that they have not seen."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.pipeline import Pipeline

from ..errors import Refusal
from ..task.definition import Task
from .spaces import threads
from .vectorizing import model_of


def scored(model: Any, frame: pd.DataFrame) -> np.ndarray:
    "Scores of a fitted model: probability of positive, probabilities per class, or numbers."
    if not hasattr(model, "predict_proba"):
        more = (
            pd.concat([frame, frame]) if len(frame) == 1 else frame
        )  # a blend's mean adds its members in another order for one row alone
        return np.asarray(model.predict(more), dtype=float)[: len(frame)]
    chances = model.predict_proba(frame)
    return chances[:, 1] if chances.shape[1] == 2 else chances


def folds_of(
    task: Task, frame: pd.DataFrame, truth: np.ndarray, folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    "Pairs of rows to fit on and rows to score, in time order or by whole groups where the task splits so."
    if folds < 2:
        raise Refusal(
            f"The parameter folds is {folds}: give at least 2, so that every model is judged on rows it has not seen."
        )
    if task.split.by == "time":
        order = np.argsort(pd.to_datetime(frame[task.split.column]).to_numpy(), kind="stable")
        return [(order[fit], order[test]) for fit, test in TimeSeriesSplit(folds).split(order)]
    if task.split.by == "group":
        return list(GroupKFold(folds).split(frame, groups=frame[task.split.column].astype(str)))
    if task.target.kind == "regression":
        return list(KFold(folds, shuffle=True, random_state=seed).split(frame))
    return list(
        StratifiedKFold(folds, shuffle=True, random_state=seed).split(frame, truth.astype(str))
    )


def out_of_fold(
    model: Any, table: pd.DataFrame, target: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    "Scores by models that have not seen the row; rows that no fold scores (the earliest in time) are NaN."
    from sklearn.base import clone

    result: np.ndarray | None = None
    for fit, test in folds:
        scores = scored(clone(model).fit(table.iloc[fit], target[fit]), table.iloc[test])
        result = np.full((len(table), *scores.shape[1:]), np.nan) if result is None else result
        result[test] = scores
    assert result is not None
    return result


def constant(classes: list[str]) -> BaseEstimator:
    "The guess that knows only how often each outcome happens."
    return DummyClassifier(strategy="prior") if classes else DummyRegressor()


def linear(classes: list[str]) -> Pipeline:
    "Logistic or ridge regression on filled and scaled numbers."
    return model_of(
        LogisticRegression(max_iter=500, C=0.1) if classes else RidgeCV(np.logspace(-2, 4, 13)),
        linear=True,
    )


def booster(
    classes: list[str],
    rows: int,
    seed: int,
    learning_rate: float = 0.05,
    leaves: int = 31,
    trees: int = 150,
) -> Pipeline:
    "LightGBM with a leaf size that fits the table."
    from lightgbm import LGBMClassifier, LGBMRegressor

    options: dict[str, Any] = dict(
        n_estimators=trees,
        learning_rate=learning_rate,
        num_leaves=leaves,
        min_child_samples=max(5, min(60, rows // 100)),
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.6,
        reg_lambda=5.0,
        random_state=seed,
        n_jobs=threads(rows),
        verbose=-1,
    )
    return model_of(LGBMClassifier(**options) if classes else LGBMRegressor(**options))
