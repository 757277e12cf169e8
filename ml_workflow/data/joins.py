"""One row for each example: sources read, joined on the unit, and the columns that a model may see."""

from typing import Any

import numpy as np
import pandas as pd

from ..errors import Refusal, nearest
from ..task.definition import Source, Task
from .features import aggregate_step
from .history import EXAMPLE, aggregated, rows_of
from .tables import read_table


def sources(task: Task) -> dict[str, pd.DataFrame]:
    "Each source of the task by its name, as it is."
    return {source.name: read_table(source.uri, source.query) for source in task.sources}


def examples(task: Task, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    "The sources joined on the unit, without rows that have no target (their number is in `attrs['no_target']`)."
    first = tables[task.sources[0].name]
    frame = (
        first.assign(row=np.arange(len(first)))
        if task.unit == "row" and "row" not in first
        else first
    )
    for source in task.sources[1:]:
        frame = joined(task, frame, source, tables[source.name])
    check_columns(task, frame)
    known = frame[frame[task.target.column].notna()].reset_index(drop=True)
    if known.empty:
        raise Refusal(
            f"The target {task.target.column!r} is missing in all {len(frame)} rows: there is nothing to predict."
        )
    known.attrs["no_target"] = len(frame) - len(known)
    return known


def joined(task: Task, frame: pd.DataFrame, source: Source, table: pd.DataFrame) -> pd.DataFrame:
    "The examples with what a source knows of each: after the decision the target only, of a history what it sums up to."
    check_source(task, frame, source, table)
    after, moment, key = source.available == "after decision", task.sources[0].time, task.unit
    none: dict[str, Any] = {}
    rows, frame = table, frame.assign(**{EXAMPLE: range(len(frame))})
    if source.time and moment:
        rows = rows_of(frame, table, key, moment, source.time, after)
    if isinstance(source.aggregate, dict):
        key = EXAMPLE if EXAMPLE in rows else key
        rows, none = aggregated(rows, key, source.aggregate, f"sources.{source.name}")
    elif source.aggregate:
        rows = aggregate_step(source.aggregate)(rows.drop(columns=EXAMPLE, errors="ignore"))
    check_joined(task, source, rows, key)
    rows = (
        rows[[key, task.target.column]]
        if after
        else rows.drop(columns=EXAMPLE, errors="ignore")
        if key != EXAMPLE
        else rows
    )
    both = frame.merge(
        rows, on=key, how="left", validate="many_to_one", suffixes=("", f"_{source.name}")
    )
    return both.drop(columns=EXAMPLE).fillna(
        {name: value for name, value in none.items() if value is not None and name in both}
    )


def check_source(task: Task, frame: pd.DataFrame, source: Source, table: pd.DataFrame) -> None:
    "Refuse a source that cannot be joined on the unit, or that lacks its time."
    for column, rows, where in (
        (task.unit, table, source.name),
        (source.time, table, source.name),
        (task.sources[0].time, frame, task.sources[0].name),
    ):
        if column is not None and column not in rows:
            raise Refusal(
                f"The source {where} has no column {column!r}, its unit or its time: add it, or correct the task.{nearest(column, rows.columns)}"
            )
    if pd.api.types.is_numeric_dtype(frame[task.unit]) != pd.api.types.is_numeric_dtype(
        table[task.unit]
    ):
        raise Refusal(
            f"{task.unit} holds numbers in one source and text in another ({source.name}), so nothing can be joined: write it alike in both."
        )


def check_joined(task: Task, source: Source, rows: pd.DataFrame, key: str) -> None:
    "Refuse a source that gives several rows for one unit, or that is known too late and does not hold the target."
    if key not in rows or rows[key].duplicated().any():
        raise Refusal(
            f"The source {source.name} does not give one row for each {task.unit}: say by `aggregate:` how several become one."
        )
    if source.available == "after decision" and task.target.column not in rows:
        raise Refusal(
            f"The source {source.name} is known only after the decision and does not hold the target: no input may come from it, so leave it out."
        )


def check_columns(task: Task, frame: pd.DataFrame) -> None:
    "Refuse a task that names columns which the joined sources do not have."
    recorded = task.current_process.column if task.current_process else None
    named = {
        "target.column": task.target.column,
        "unit": task.unit,
        "split.column": task.split.column,
        "current_process.column": recorded,
    }
    named |= {
        f"{key}[{i}]": column
        for key in ("exclude", "private")
        for i, column in enumerate(getattr(task, key))
    }
    for place, column in named.items():
        if column is not None and column not in frame:
            raise Refusal(
                f"{place} is {column!r}, but the table has no such column.{nearest(column, frame.columns)}"
            )


def inputs(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    "The columns that a model may see."
    return frame.drop(columns=[c for c in task.inputs_left_out if c in frame])
