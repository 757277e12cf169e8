"""History tables: many rows a unit become one, of what was known when each example was decided."""

from collections.abc import Mapping

import duckdb
import pandas as pd

from ..decision.expressions import check_parts, reason, sandbox
from ..errors import Refusal

EXAMPLE, DECIDED = "position of the example", "time of the decision"
"""Columns that are added while a history is summed up."""


def rows_known(
    examples: pd.DataFrame, history: pd.DataFrame, unit: str, times: tuple[str, str], after: bool
) -> pd.DataFrame:
    """The history's rows from before each example's decision or, with `after`, from then on.

    `times` are the columns of both tables; each row bears its example's position as EXAMPLE.
    """
    decided, known = times
    keys = examples[[unit, EXAMPLE]].assign(**{DECIDED: in_utc(examples[decided])})
    rows = keys.merge(history.assign(**{known: in_utc(history[known])}), on=unit)
    earlier = rows[known] < rows[DECIDED]
    return rows[~earlier if after else earlier].drop(columns=DECIDED)


def in_utc(column: pd.Series) -> pd.Series:
    """A column as times in UTC; refused where a value is none."""
    times = pd.to_datetime(column, errors="coerce", utc=True)
    if wrong := int(times.isna().sum()):
        raise Refusal(
            f"The time column {column.name!r} holds no date in {wrong} of {len(column)} rows: "
            "mend them, or take `time` out of the source."
        )
    return times


def aggregated(
    rows: pd.DataFrame, key: str, expressions: Mapping[str, str], place: str
) -> tuple[pd.DataFrame, dict[str, object]]:
    """SQL aggregates of the rows, one row for each value of `key`.

    And what they give for no rows at all, by name (a count: 0).
    """
    columns = ", ".join(f"({text}) AS {quoted(name)}" for name, text in expressions.items())
    grouped = f"SELECT {quoted(key)}, {columns} FROM examples GROUP BY {quoted(key)}"
    with sandbox(rows) as connection:
        for name, text in expressions.items():
            wanted = "an aggregate of the source's columns, such as sum(amount)"
            check_parts(connection, f"{place}.{name}", text, wanted)
        try:
            table = connection.sql(grouped).df()
            [nothing] = connection.sql(f"SELECT {columns} FROM examples WHERE false").fetchall()
        except duckdb.Error as error:
            raise Refusal(f"{place} fails: {reason(error, rows.columns)}") from None
    return table, dict(zip(expressions, nothing, strict=True))


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'
