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
    "How many units repeat, rows equal another in every input, holdout rows equal a development row; and how many of these are copies, since so many agree in fine numbers."
    both = pd.concat([development, holdout])
    fine = max([0, *(inputs(task, both).select_dtypes("number").nunique())]) > len(both) / 10
    keys = pd.util.hash_pandas_object(inputs(task, both), index=False).to_numpy()
    first, second = keys[: len(development)], keys[len(development) :]
    return {
        "units that repeat": int(both[task.unit].duplicated().sum()),
        "rows equal in all inputs": int(pd.Series(keys).duplicated().sum()),
        "holdout rows that equal a development row": int(np.isin(second, first).sum()),
        "copies": int(np.isin(second, first).sum())
        if fine and np.isin(second, first).mean() > 0.3
        else 0,
    }


def timestamps(task: Task, frame: pd.DataFrame) -> pd.Series:
    "When each row happened, for a split in time order; refused where a row does not say."
    column = frame[task.split.column]
    with warnings.catch_warnings(action="ignore"):
        found = pd.to_datetime(column, errors="coerce")
    if wrong := int(found.isna().sum()):
        raise Refusal(
            f"split.column {task.split.column!r} puts the rows in time order, but {wrong} of {len(frame)} rows hold no date in it "
            "that reads like the others: mend them, or set `by: random`."
        )
    return found


def is_holdout(task: Task, frame: pd.DataFrame) -> np.ndarray:
    "True for each row that belongs to the holdout."
    split = task.split
    if split.by == "given":
        return frame[split.column].astype(str).str.lower().isin(["test", "holdout"]).to_numpy()
    if split.by == "time":
        moment = timestamps(task, frame)
        return (
            moment > moment.sort_values().iloc[int(len(frame) * (1 - split.holdout)) - 1]
        ).to_numpy()
    key = frame[split.column if split.by == "group" else task.unit]
    return uniforms(f"holdout of {task.name}", key.astype(str)) < split.holdout


def check_holdout(kind: Kind, frame: pd.DataFrame) -> np.ndarray:
    """The holdout, or a Refusal when it or the rest is too small to learn from or to judge on."""
    held, outcomes = is_holdout(kind.task, frame), kind.outcomes(frame)
    kind.check_part("development part", outcomes[~held], len(frame), least=5)
    kind.check_part("holdout", outcomes[held], len(frame), least=0)
    return held


def sampled(task: Task, frame: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    "A random sample of `size` rows in their order (0 = all); with a split by time the latest rows."
    if not size or size >= len(frame):
        return frame
    if task.split.by == "time":
        return (
            frame.sort_values(str(task.split.column), kind="stable")
            .tail(size)
            .reset_index(drop=True)
        )
    return frame.sample(size, random_state=seed).sort_index().reset_index(drop=True)
