"""Money as people read it: a month, with an interval."""

import numpy as np
import pandas as pd

from ..statistics.bootstrap import interval_of_mean
from ..task.definition import Task
from .kinds import Array, Classes, kind_of


def volume(task: Task) -> int:
    "Decisions in a month; 1,000 stand in where the task does not say."
    return task.value.decisions_per_month or 1000


def period(task: Task) -> str:
    "What money figures refer to."
    return "a month" if task.value.decisions_per_month else "for 1,000 decisions"


def money(task: Task, amount: float) -> str:
    "An amount as people read it: 'NT$5,190,000', '-NT$12.50', '31.2 right decisions'."
    sign, size = "-" if amount < 0 else "", abs(amount)
    digits = f"{size:,.0f}" if size >= 100 else f"{size:,.2f}"
    unit = task.value.currency if task.has_values else kind_of(task).right
    return f"{sign}{unit}{digits}" if len(unit) <= 4 else f"{sign}{digits} {unit}"


def monthly(task: Task, values: np.ndarray, seed: int = 0) -> list[float]:
    "[lower, estimate, upper] of what decisions with these values earn in a month, by bootstrap."
    return [float(bound) * volume(task) for bound in interval_of_mean(values, seed=seed)]


def money_curve(kind: Classes, frame: pd.DataFrame, scores: Array, outcomes: Array) -> pd.DataFrame:
    """What a month earns when acting on the first rows by expected gain, a row for each number of them.

    Columns: share acted on, score and expected gain of the last of them, money.
    """
    worth = kind.decision_values(frame)
    act, leave = (worth[:, kind.decisions.index(action)] for action in ("act", "leave"))
    more, rows = act - leave, np.arange(len(frame))
    expected = more[:, 0] * (1 - scores) + more[:, 1] * scores
    order = np.argsort(-expected, kind="stable")
    earned = leave[rows, outcomes].sum() + np.cumsum(more[rows, outcomes][order])
    return pd.DataFrame(
        {
            "share": (rows + 1) / len(rows),
            "score": scores[order],
            "expected": expected[order],
            "money": earned / len(rows) * volume(kind.task),
        }
    )
