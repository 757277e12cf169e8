"""Everything that decides is a process: the one in use today, a constant, a release."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..task.definition import CurrentProcess, Task
from .expressions import evaluate
from .target import classes_of, outcome
from .value import amounts, value


@dataclass(frozen=True)
class Process:
    "Anything that decides: `score(frame)` gives numbers, `decide(frame, scores)` gives one action a row."

    name: str
    score: Callable[[pd.DataFrame], np.ndarray]
    decide: Callable[[pd.DataFrame, np.ndarray], np.ndarray]


def recorded(rule: CurrentProcess, frame: pd.DataFrame) -> np.ndarray:
    "What the current process's column or expression gives for each row, as it stands there; missing where it says nothing."
    return np.asarray(
        frame[rule.column]
        if rule.column
        else evaluate({"current_process.decide": rule.decide}, frame)["current_process.decide"]
    )


def current_process(task: Task, development: pd.DataFrame) -> Process:
    "The process in use today; where the task names none, the best constant decision on the development part."
    rule = task.current_process
    if rule is None:
        return constant_process(task, development)
    classes, usual = (
        classes_of(task, outcome(task, development)),
        usual_action(task, development) or 0.0,
    )

    def decided(frame: pd.DataFrame) -> np.ndarray:
        return as_actions(task, recorded(rule, frame), usual)

    return Process(
        "current",
        lambda frame: scores_of(task, decided(frame), classes),
        lambda frame, _: decided(frame),
    )


def as_actions(task: Task, raw: np.ndarray, usual: float = 0.0) -> np.ndarray:
    "Recorded or computed decisions in the form of actions; a missing number becomes the usual one."
    if task.target.kind == "regression":
        return pd.Series(pd.to_numeric(raw, errors="coerce")).astype(float).fillna(usual).to_numpy()
    texts = pd.Series(raw).astype(str)
    if task.target.kind == "multiclass":
        return texts.to_numpy(dtype=object)
    acts = texts.str.lower().isin(
        ["true", "1", "1.0", "act", "yes", str(task.target.positive).lower()]
    )
    return np.where(acts, "act", "leave").astype(object)


def scores_of(task: Task, actions: np.ndarray, classes: list[str]) -> np.ndarray:
    "Actions as scores: certainty for what was decided."
    if task.target.kind == "regression":
        return np.asarray(actions, dtype=float)
    if task.target.kind == "binary":
        return (actions == "act").astype(float)
    return np.stack([(actions == c).astype(float) for c in classes], axis=1)


def constant_process(task: Task, development: pd.DataFrame) -> Process:
    "The best constant decision on the development part: what anybody could do without looking at the row."
    truth = outcome(task, development)
    classes = classes_of(task, truth)
    options = (
        list(np.quantile(truth, np.linspace(0.05, 0.95, 19)))
        if not classes
        else list(amounts(task, classes))
    )
    means = [
        value(task, development, np.full(len(truth), o, dtype=object), truth).mean()
        for o in options
    ]
    best = options[int(np.argmax(means))]
    rates = (
        best
        if not classes
        else truth.mean()
        if task.target.kind == "binary"
        else [(truth == c).mean() for c in classes]
    )
    return Process(
        "constant",
        lambda frame: (
            np.tile(np.asarray(rates, dtype=float), (len(frame), 1)).squeeze(1)
            if np.ndim(rates) == 0
            else np.tile(rates, (len(frame), 1))
        ),
        lambda frame, _: np.full(len(frame), best, dtype=object if classes else float),
    )


def usual_action(task: Task, development: pd.DataFrame) -> Any:
    "The decision where the current process gives none: the best constant one without a process, the median outcome for regression, else None."
    if task.current_process is None:
        return constant_process(task, development).decide(development.head(1), np.zeros(1))[0]
    return (
        float(np.median(outcome(task, development))) if task.target.kind == "regression" else None
    )
