"""The holdout set apart, a sample of the rest, and rows that stand in both."""

import warnings

import numpy as np
import pandas as pd

from ..decision.kinds import Kind
from ..errors import Refusal
from ..statistics.assignment import uniforms
from ..task.definition import Task
from .joins import inputs


def duplicates(task: Task, development: pd.DataFrame, holdout: pd.DataFrame) -> dict[str, int]:
    """How many rows repeat, by what they repeat; `copies` are more than chance gives.

    Equal rows count as copies where a column is fine enough that rows hardly agree by chance, and
    three holdout rows in ten equal a row of the development part.
    """
    both = pd.concat([development, holdout])
    table = inputs(task, both)
    fine = max([0, *table.select_dtypes("number").nunique()]) > len(both) / 10
    keys = pd.util.hash_pandas_object(table, index=False)
    equal = keys.iloc[len(development) :].isin(keys.iloc[: len(development)])
    return {
        "units that repeat": int(both[task.unit].duplicated().sum()),
        "rows equal in all inputs": int(keys.duplicated().sum()),
        "holdout rows that equal a development row": int(equal.sum()),
        "copies": int(equal.sum()) if fine and equal.mean() > 0.3 else 0,
    }


def timestamps(task: Task, frame: pd.DataFrame) -> pd.Series:
    """When each row happened, for a split in time order; refused where a row does not say."""
    with warnings.catch_warnings(action="ignore"):
        times = pd.to_datetime(frame[task.split.column], errors="coerce")
    if wrong := int(times.isna().sum()):
        raise Refusal(
            f"split.column {task.split.column!r} puts the rows in time order, but {wrong} of "
            f"{len(frame)} rows hold no date in it that reads like the others: mend them, "
            "or set `by: random`."
        )
    return times


def is_holdout(task: Task, frame: pd.DataFrame) -> np.ndarray:
    """True for each row that belongs to the holdout, shape (n,)."""
    split = task.split
    if split.by == "given":
        return frame[split.column].astype(str).str.lower().isin(["test", "holdout"]).to_numpy()
    if split.by == "time":
        times = timestamps(task, frame)
        last = times.sort_values().iloc[int(len(frame) * (1 - split.holdout)) - 1]
        return (times > last).to_numpy()
    key = frame[split.column if split.by == "group" else task.unit]
    return uniforms(f"holdout of {task.name}", key.astype(str)) < split.holdout


def check_holdout(kind: Kind, frame: pd.DataFrame) -> np.ndarray:
    """The holdout as `is_holdout` gives it.

    Raises Refusal when it or the rest is too small to learn from or to judge on.
    """
    holdout, outcomes = is_holdout(kind.task, frame), kind.outcomes(frame)
    kind.check_part("development part", outcomes[~holdout], len(frame), least=5)
    kind.check_part("holdout", outcomes[holdout], len(frame), least=0)
    return holdout


def sampled(task: Task, frame: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """`size` random rows in their order (0: all); with a split by time the latest."""
    if not size or size >= len(frame):
        return frame
    if task.split.by == "time":
        latest = frame.sort_values(str(task.split.column), kind="stable").tail(size)
        return latest.reset_index(drop=True)
    return frame.sample(size, random_state=seed).sort_index().reset_index(drop=True)
