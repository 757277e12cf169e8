"""One row for each example: sources read, joined on the unit, and the columns a model may see."""

from typing import Any

import numpy as np
import pandas as pd

from ..errors import Refusal, nearest
from ..task.definition import Source, Task
from .features import aggregate_step
from .history import EXAMPLE, aggregated, rows_known
from .tables import read_table


def sources(task: Task) -> dict[str, pd.DataFrame]:
    """Each source of the task by its name, as it is."""
    return {source.name: read_table(source.uri, source.query) for source in task.sources}


def examples(task: Task, tables: dict[str, pd.DataFrame] | None = None) -> pd.DataFrame:
    """The sources joined on the unit, one row an example, without rows that have no target.

    How many these are stands in `attrs["no_target"]`. `tables` are the sources where they were read
    before. Raises Refusal for what does not fit.
    """
    tables = sources(task) if tables is None else tables
    frame = tables[task.sources[0].name]
    if task.unit == "row" and "row" not in frame:
        frame = frame.assign(row=np.arange(len(frame)))
    for source in task.sources[1:]:
        frame = joined(task, frame, source, tables[source.name])
    check_columns(task, frame)
    known = frame[frame[task.target.column].notna()].reset_index(drop=True)
    if known.empty:
        raise Refusal(
            f"The target {task.target.column!r} is missing in all {len(frame)} rows: "
            "there is nothing to predict."
        )
    known.attrs["no_target"] = len(frame) - len(known)
    return known


def joined(task: Task, frame: pd.DataFrame, source: Source, table: pd.DataFrame) -> pd.DataFrame:
    """The examples with what a source knows of each.

    That is of a history what it sums up to, and of what is known afterwards the target only.
    """
    check_source(task, frame, source, table)
    after, key, decided = source.available == "after decision", task.unit, task.sources[0].time
    frame, of_none = frame.assign(**{EXAMPLE: range(len(frame))}), dict[str, Any]()
    if source.time and decided:
        table = rows_known(frame, table, key, (decided, source.time), after)
    if isinstance(source.aggregate, dict):
        key = EXAMPLE if EXAMPLE in table else key
        place = f"sources.{source.name}.aggregate"
        table, of_none = aggregated(table, key, source.aggregate, place)
    elif source.aggregate:
        table = aggregate_step(source.aggregate)(table.drop(columns=EXAMPLE, errors="ignore"))
    check_joined(task, source, table, key)
    if after:
        table = table[[key, task.target.column]]
    elif key != EXAMPLE:
        table = table.drop(columns=EXAMPLE, errors="ignore")
    suffixes = ("", f"_{source.name}")
    both = frame.merge(table, on=key, how="left", validate="many_to_one", suffixes=suffixes)
    filled = {name: value for name, value in of_none.items() if value is not None and name in both}
    return both.drop(columns=EXAMPLE).fillna(filled)


def check_source(task: Task, frame: pd.DataFrame, source: Source, table: pd.DataFrame) -> None:
    """Refuse a source that cannot be joined on the unit, or that lacks its time."""
    first, unit = task.sources[0], task.unit
    for column, rows, where in (
        (unit, table, source.name),
        (source.time, table, source.name),
        (first.time, frame, first.name),
    ):
        if column is not None and column not in rows:
            raise Refusal(
                f"The source {where} has no column {column!r}, its unit or its time: add it, "
                f"or correct the task.{nearest(column, rows.columns)}"
            )
    numeric = pd.api.types.is_numeric_dtype
    if numeric(frame[unit]) != numeric(table[unit]):
        raise Refusal(
            f"{unit} holds numbers in one source and text in another ({source.name}), "
            "so nothing can be joined: write it alike in both."
        )


def check_joined(task: Task, source: Source, rows: pd.DataFrame, key: str) -> None:
    """Refuse a source with several rows for a unit, or known too late and without the target."""
    if key not in rows or rows[key].duplicated().any():
        raise Refusal(
            f"The source {source.name} does not give one row for each {task.unit}: "
            "say by `aggregate:` how several become one."
        )
    if source.available == "after decision" and task.target.column not in rows:
        raise Refusal(
            f"The source {source.name} is known only after the decision and does not hold the "
            "target: no input may come from it, so leave it out."
        )


def check_columns(task: Task, frame: pd.DataFrame) -> None:
    """Refuse a task that names columns which the joined sources do not have."""
    rule = task.current_process
    named = {
        "target.column": task.target.column,
        "unit": task.unit,
        "split.column": task.split.column,
        "current_process.column": rule.column if rule else None,
        **{f"exclude[{i}]": column for i, column in enumerate(task.exclude)},
        **{f"private[{i}]": column for i, column in enumerate(task.private)},
    }
    for place, column in named.items():
        if column is not None and column not in frame:
            raise Refusal(
                f"{place} is {column!r}, but the table has no such column."
                f"{nearest(column, frame.columns)}"
            )


def inputs(task: Task, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that a model may see."""
    return frame.drop(columns=task.inputs_left_out, errors="ignore")
