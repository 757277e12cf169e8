"""History tables: many rows a unit become one, of what was known when each example was decided."""

from collections.abc import Mapping

import duckdb
import pandas as pd

from ..decision.expressions import SETTINGS, forbidden
from ..errors import Refusal, nearest

EXAMPLE, MOMENT = "position of the example", "moment of the example"


def rows_of(
    examples: pd.DataFrame,
    history: pd.DataFrame,
    unit: str,
    moment: str,
    time: str,
    after: bool = False,
) -> pd.DataFrame:
    """The history's rows from strictly before each example's moment, or from then on, with the example's position, their column EXAMPLE."""
    keys = examples[[unit, EXAMPLE]].assign(**{MOMENT: in_utc(examples[moment], moment)})
    rows = keys.merge(history.assign(**{time: in_utc(history[time], time)}), on=unit)
    earlier = rows[time] < rows[MOMENT]
    return rows[~earlier if after else earlier].drop(columns=MOMENT)


def in_utc(column: pd.Series, name: str) -> pd.Series:
    """A column as moments in UTC; refused where a value is none."""
    moments = pd.to_datetime(column, errors="coerce", utc=True)
    if wrong := int(moments.isna().sum()):
        raise Refusal(
            f"The time column {name!r} holds no date in {wrong} of {len(column)} rows: mend them, or take `time` out of the source."
        )
    return moments


def aggregated(
    rows: pd.DataFrame, key: str, expressions: Mapping[str, str], place: str
) -> tuple[pd.DataFrame, dict[str, object]]:
    """SQL aggregates of the rows, one row for each value of `key`; and what they give for no rows at all (a count: 0)."""
    with duckdb.connect(config=SETTINGS) as connection:
        connection.register("examples", rows)
        for name, text in expressions.items():
            if found := forbidden(connection, text):
                raise Refusal(
                    f"{place}.aggregate.{name} is {text!r}: {found} is not allowed; write an aggregate of the source's columns, such as sum(amount)."
                )
        columns = ", ".join(f"({text}) AS {quoted(name)}" for name, text in expressions.items())
        try:
            made = connection.sql(
                f"SELECT {quoted(key)}, {columns} FROM examples GROUP BY {quoted(key)}"
            ).df()
            none = connection.sql(f"SELECT {columns} FROM examples WHERE false").fetchall()[0]
        except duckdb.Error as error:
            raise Refusal(sentence(place, rows, error)) from None
    return made, dict(zip(expressions, none, strict=True))


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def sentence(place: str, rows: pd.DataFrame, error: duckdb.Error) -> str:
    """What is wrong with the aggregates of a source."""
    message = str(error).splitlines()[0]
    if "Referenced column" in message:
        column = message.split('"')[1]
        return f"{place}.aggregate names {column!r}, which the source does not have.{nearest(column, rows.columns)}"
    return f"{place}.aggregate cannot be computed: {message}"
