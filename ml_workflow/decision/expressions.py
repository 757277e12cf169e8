"""SQL expressions over a frame's columns: they can compute, they reach no file, network or Python."""

import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from ..errors import Refusal, nearest

SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}

BEYOND = {"SUBQUERY": "a subquery", "WINDOW": "a window over other rows", "STAR": "*"}
"""Kinds of SQL expression that read more than one row or column they name."""
FUNCTIONS = {
    "current_setting",
    "getenv",
    "getvariable",
    "unnest",
    "random",
    "uuid",
    "nextval",
    "currval",
}
"""Functions that read DuckDB's settings, change the number of rows or give another value each time."""

_CHECKED: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
"""Expressions that were checked, with the names and types of the columns that they name."""
_OWN = threading.local()


def evaluate(expressions: Mapping[str, Any], frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Each expression (SQL text or a number) as an array of len(frame); the keys say where it stands."""
    values = {
        place: np.full(len(frame), float(e))
        for place, e in expressions.items()
        if isinstance(e, (int, float))
    }
    texts = {place: str(e) for place, e in expressions.items() if place not in values}
    if not texts:
        return values
    plain = _plain(frame, texts.values())
    shape = tuple(zip(plain.columns, map(str, plain.dtypes), strict=True))
    for place, text in texts.items():
        if (text, shape) not in _CHECKED:
            check(place, text, frame)
            _CHECKED.add((text, shape))
    return values | _computed(texts, plain)


def _computed(texts: Mapping[str, str], plain: pd.DataFrame) -> dict[str, np.ndarray]:
    """Expressions that were checked, in one query of this thread's connection: opening one costs many times what a row does."""
    if not hasattr(_OWN, "connection"):
        _OWN.connection = duckdb.connect(config=SETTINGS)
    _OWN.connection.register("examples", plain)
    try:
        columns = ", ".join(f"({text}) AS value_{i}" for i, text in enumerate(texts.values()))
        found = _OWN.connection.execute(f"SELECT {columns} FROM examples").df()
        return {place: found[f"value_{i}"].to_numpy() for i, place in enumerate(texts)}
    except duckdb.Error:
        return {place: _column(_OWN.connection, place, text) for place, text in texts.items()}
    finally:
        _OWN.connection.unregister("examples")


def check(place: str, text: str, frame: pd.DataFrame) -> None:
    """Refuse anything but an expression over the frame's columns, in one sentence."""
    with duckdb.connect(config=SETTINGS) as connection:
        connection.register("examples", frame.head(0))
        if found := forbidden(connection, text):
            raise Refusal(
                f"{place} is {text!r}: {found} is not allowed; write an expression over the table's columns."
            )
        try:
            if connection.sql(f"SELECT ({text}) AS value FROM examples").fetchall():
                raise Refusal(
                    f"{place} is {text!r}, which sums up rows; write an expression of one row's columns."
                )
        except duckdb.Error as error:
            raise Refusal(_sentence(place, text, frame, error)) from None


def forbidden(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """What in a SQL text is more than an expression of one row's columns, or "": DuckDB's own parser tells."""
    statement, plain = (_parsed(connection, expression) for expression in (text, "1"))
    if not statement:
        return ""  # it does not parse, which the caller says
    written, allowed = statement.pop("select_list", []), plain.pop("select_list")
    if statement != plain or len(written) != len(allowed):
        return "more than one expression"
    return next(_beyond(written), "")


def _parsed(connection: duckdb.DuckDBPyConnection, text: str) -> dict[str, Any]:
    """The parsed statement that computes the expression, without positions in the text; empty if it cannot be parsed."""
    [[answer]] = connection.execute(
        "SELECT json_serialize_sql(?)", [f"SELECT ({text}) AS value FROM examples"]
    ).fetchall()
    parsed = json.loads(
        answer,
        object_hook=lambda node: {
            k: v for k, v in node.items() if not k.startswith("query_location")
        },
    )
    return (
        parsed["statements"][0]["node"]
        if not parsed["error"] and len(parsed["statements"]) == 1
        else {}
    )


def _beyond(node: Any) -> Iterator[str]:
    """The parts of a parsed expression that look beyond the row."""
    if isinstance(node, dict):
        if node.get("class") in BEYOND:
            yield BEYOND[node["class"]]
        if (name := str(node.get("function_name", "")).lower()) in FUNCTIONS:
            yield f"{name}()"
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _beyond(part)


def _column(connection: duckdb.DuckDBPyConnection, place: str, text: str) -> np.ndarray:
    try:
        return connection.sql(f"SELECT ({text}) AS value FROM examples").df()["value"].to_numpy()
    except duckdb.Error as error:
        raise Refusal(
            f"{place} is {text!r}, which cannot be computed: {str(error).splitlines()[0]}"
        ) from None


def _plain(frame: pd.DataFrame, texts: Any) -> pd.DataFrame:
    """Only the columns that the expressions name (by text), so that wide tables cost nothing."""
    named = [
        column for column in frame.columns if any(column.lower() in text.lower() for text in texts)
    ]
    return frame[named] if named else pd.DataFrame({"row": np.arange(len(frame))})


def _sentence(place: str, text: str, frame: pd.DataFrame, error: duckdb.Error) -> str:
    message = str(error).splitlines()[0]
    if "Referenced column" in message:
        column = message.split('"')[1]
        return f"{place} is {text!r}, but the table has no column {column!r}.{nearest(column, frame.columns)}"
    return f"{place} is {text!r}, which is not an expression over the table's columns: {message}"
