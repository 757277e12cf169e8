"""Money as people read it: a month, with an interval."""

import numpy as np
import pandas as pd

from ..statistics.bootstrap import interval_of_mean
from ..task.definition import Task
from .kinds import Array, Classes, kind_of


def volume(task: Task) -> int:
    """Decisions in a month; 1,000 stand in where the task does not say."""
    return task.value.decisions_per_month or 1000


def period(task: Task) -> str:
    """What money figures refer to."""
    return "a month" if task.value.decisions_per_month else "for 1,000 decisions"


def money(task: Task, amount: float) -> str:
    """An amount as people read it: 'NT$5,190,000', '-NT$12.50', '31.2 right decisions'."""
    unit = task.value.currency if task.has_values else kind_of(task).right
    digits = f"{abs(amount):,.{0 if abs(amount) >= 100 else 2}f}"
    size = f"{unit}{digits}" if len(unit) <= 4 else f"{digits} {unit}"
    return f"-{size}" if amount < 0 else size


def monthly(task: Task, values: Array, seed: int = 0) -> list[float]:
    """[lower, estimate, upper] of what decisions earn in a month, by bootstrap.

    `values` are those of single decisions, shape (n,), in the currency.
    """
    return [float(bound) * volume(task) for bound in interval_of_mean(values, seed=seed)]


def money_curve(kind: Classes, frame: pd.DataFrame, scores: Array, outcomes: Array) -> pd.DataFrame:
    """What a month earns when acting on the rows of greatest expected gain, by how many they are.

    Columns: share acted on; score and expected gain of the last of them; money.
    """
    decision_values = kind.decision_values(frame)
    leave, act = (decision_values[:, kind.decisions.index(name)] for name in ("leave", "act"))
    gains, rows = act - leave, np.arange(len(frame))
    expected = (gains * kind.probabilities(scores)).sum(axis=1)
    order = np.argsort(-expected, kind="stable")
    earned = leave[rows, outcomes].sum() + np.cumsum(gains[rows, outcomes][order])
    return pd.DataFrame(
        {
            "share": (rows + 1) / len(rows),
            "score": scores[order],
            "expected": expected[order],
            "money": earned / len(rows) * volume(kind.task),
        }
    )
