"""What decisions are worth, and the rule that turns probabilities into decisions."""

import numpy as np
import pandas as pd

from ..errors import Refusal
from ..task.definition import Amount, Task
from .expressions import evaluate
from .target import classes_of


def amounts(task: Task, classes: list[str]) -> dict[str, dict[str, Amount]]:
    "What each decision is worth for each outcome; without values in the task, 1 for a right decision."
    value = task.value
    if task.target.kind == "binary":
        if value.act is None or value.leave is None:
            return {"leave": {"negative": 1, "positive": 0}, "act": {"negative": 0, "positive": 1}}
        return {"leave": value.leave.model_dump(), "act": value.act.model_dump()}
    return (
        dict(value.matrix)
        if value.matrix
        else {d: {a: int(a == d) for a in classes} for d in classes}
    )


def payoffs(task: Task, frame: pd.DataFrame, classes: list[str]) -> tuple[list[str], np.ndarray]:
    "The decisions, and what each is worth: array of rows × decisions × classes, in the currency."
    table = amounts(task, classes)
    missing = [(d, c) for d in table for c in classes if c not in table[d]]
    if missing:
        raise Refusal(
            f"value.matrix does not say what deciding {missing[0][0]!r} is worth when {missing[0][1]!r} is true."
        )
    cells = evaluate({f"value.{d}.{c}": table[d][c] for d in table for c in classes}, frame)
    stacked = np.stack([np.stack([cells[f"value.{d}.{c}"] for c in classes], -1) for d in table], 1)
    return list(table), stacked.astype(float)


def value(task: Task, frame: pd.DataFrame, actions: np.ndarray, truth: np.ndarray) -> np.ndarray:
    "What each row's action earned given the truth, in the currency; for regression minus the cost of the error."
    if task.target.kind == "regression":
        costs = evaluate(
            {"value.over": task.value.over or 1, "value.under": task.value.under or 1}, frame
        )
        error = np.asarray(actions, dtype=float) - truth
        return -np.where(
            error > 0, costs["value.over"] * error, -costs["value.under"] * error
        ).astype(float)
    classes = classes_of(
        task,
        np.concatenate([truth, actions])
        if task.target.kind == "multiclass" and not task.value.matrix
        else truth,
    )
    decisions, worth = payoffs(task, frame, classes)
    taken = pd.Index(decisions).get_indexer(pd.Index(actions))
    happened = (
        truth.astype(int)
        if task.target.kind == "binary"
        else pd.Index(classes).get_indexer(pd.Index(truth))
    )
    if (taken < 0).any():
        raise Refusal(
            f"The decision {actions[taken < 0][0]!r} is not one of {', '.join(decisions)}."
        )
    return worth[np.arange(len(frame)), taken, happened]


def decide_by_value(
    task: Task,
    frame: pd.DataFrame,
    scores: np.ndarray,
    classes: list[str],
    errors: list[float] | None = None,
) -> np.ndarray:
    "The action of greatest expected value per row; for regression the score, moved by the under / (over + under) quantile of its errors (Arrow, Harris & Marschak 1951), where `errors` gives their quantiles from 0 to 1."
    if task.target.kind == "regression":
        costs = evaluate(
            {"value.over": task.value.over or 1, "value.under": task.value.under or 1}, frame
        )
        share = costs["value.under"] / (costs["value.over"] + costs["value.under"]).astype(float)
        return np.asarray(scores, dtype=float) + (
            np.interp(share, np.linspace(0, 1, len(errors)), errors) if errors else 0
        )
    chances = np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores
    decisions, worth = payoffs(task, frame, classes)
    return np.array(decisions, dtype=object)[np.einsum("rdc,rc->rd", worth, chances).argmax(axis=1)]
