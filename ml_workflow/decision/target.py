"""The kinds of target: their outcomes, losses and metrics."""

import numpy as np
import pandas as pd
from sklearn.metrics import mean_absolute_error, roc_auc_score, root_mean_squared_error

from ..errors import Refusal
from ..task.definition import Task


def outcome(task: Task, frame: pd.DataFrame) -> np.ndarray:
    "The truth per row: 1 or 0 (binary), a label (multiclass), a number (regression)."
    column = frame[task.target.column]
    if task.target.kind == "regression":
        return np.asarray(pd.to_numeric(column, errors="raise"), dtype=float)
    if task.target.kind == "multiclass":
        return column.astype(str).to_numpy(dtype=object)
    hit = column.astype(str) == str(task.target.positive)
    if not hit.any() and pd.api.types.is_numeric_dtype(column):
        hit = column == pd.to_numeric(pd.Series([task.target.positive]), errors="coerce")[0]
    return hit.to_numpy().astype(int)


def check_outcome(task: Task, frame: pd.DataFrame) -> np.ndarray:
    "The truth per row, or a refusal when nothing can be learned from it."
    column, kind = frame[task.target.column], task.target.kind
    if kind == "regression" and not pd.api.types.is_numeric_dtype(column):
        raise Refusal(
            f"target.column {task.target.column!r} holds text, not numbers: set `kind: multiclass`, or mend it."
        )
    truth = outcome(task, frame)
    if kind == "binary" and not truth.any():
        seen = ", ".join(map(str, column.unique()[:5]))
        raise Refusal(
            f"target.positive is {task.target.positive!r}, which is not in {task.target.column!r} (it holds {seen})."
        )
    if len(pd.unique(truth)) < 2:
        raise Refusal(
            f"The target {task.target.column!r} has one value only ({column.iloc[0]}): there is nothing to predict."
        )
    return truth


def classes_of(task: Task, truth: np.ndarray) -> list[str]:
    "The outcomes that can happen, in the order of a score's columns; none for regression."
    if task.target.kind == "regression":
        return []
    return (
        ["negative", "positive"]
        if task.target.kind == "binary"
        else sorted({str(t) for t in truth})
    )


def losses(task: Task, scores: np.ndarray, truth: np.ndarray, classes: list[str]) -> np.ndarray:
    "Loss per row: minus the log of the probability given to the truth, or the squared error."
    if task.target.kind == "regression":
        return (np.asarray(scores, dtype=float) - truth) ** 2
    chances = np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores
    given = chances[np.arange(len(truth)), codes(truth, classes)]
    return -np.log(np.clip(given, 1e-6, 1))


def codes(truth: np.ndarray, classes: list[str]) -> np.ndarray:
    "The truth as an estimator takes it: class numbers, or the numbers themselves."
    if not classes or np.issubdtype(np.asarray(truth).dtype, np.number):
        return truth
    return pd.Index(classes).get_indexer(pd.Index(truth))


def metrics(
    task: Task, scores: np.ndarray, truth: np.ndarray, classes: list[str]
) -> dict[str, float]:
    "The field's metrics of scores: log loss and ROC AUC, or RMSE and MAE in the target's unit."
    if task.target.kind == "regression":
        return {
            "rmse": root_mean_squared_error(truth, scores),
            "mae": mean_absolute_error(truth, scores),
        }
    target = codes(truth, classes)
    found = {"log_loss": float(losses(task, scores, truth, classes).mean())}
    if task.target.kind == "binary":
        return {**found, "roc_auc": roc_auc_score(target, scores)}
    return {**found, "accuracy": float((scores.argmax(axis=1) == target).mean())}


def error_quantiles(
    scores: np.ndarray, truth: np.ndarray, classes: list[str]
) -> list[float] | None:
    "Quantiles, from 0 to 1, of outcome less score on rows the model had not seen; None for classes."
    return (
        None
        if classes
        else [
            float(q) for q in np.quantile(truth - scores, np.linspace(0, 1, min(101, len(truth))))
        ]
    )
