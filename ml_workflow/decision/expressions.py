"""SQL expressions over a frame's columns: they compute, and reach no file, network or Python."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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
"""Functions that read DuckDB's settings, change the number of rows or never give a value twice."""

_CHECKED: set[tuple[str, tuple[tuple[Any, str], ...]]] = set()
"""Expressions that were checked, with the names and types of the columns that they name."""
_OWN = threading.local()


def evaluate(expressions: Mapping[str, Any], frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Each expression (SQL text or a number) as an array, shape (n,), by the place where it stands.

    Raises Refusal, with the place, for what is more than an expression over a row's columns.
    """
    values = {
        place: np.full(len(frame), float(number))
        for place, number in expressions.items()
        if isinstance(number, (int, float))
    }
    texts = {place: str(text) for place, text in expressions.items() if place not in values}
    if not texts:
        return values
    columns = _columns_named(frame, texts.values())
    shape = tuple(columns.dtypes.astype(str).items())
    for place, text in texts.items():
        if (text, shape) not in _CHECKED:
            check(place, text, frame)
            _CHECKED.add((text, shape))
    return values | _computed(texts, columns)


def _columns_named(frame: pd.DataFrame, texts: Iterable[str]) -> pd.DataFrame:
    """Only the columns whose names stand in a text, so that wide tables cost nothing."""
    words = "\n".join(texts).lower()
    named = [column for column in frame if str(column).lower() in words]
    return frame[named] if named else pd.DataFrame({"row": np.arange(len(frame))})


@contextmanager
def sandbox(examples: pd.DataFrame) -> Iterator[duckdb.DuckDBPyConnection]:
    """This thread's connection, in which the frame is `examples` and nothing else is to be had.

    Opening one costs many times what computing a row does.
    """
    if not hasattr(_OWN, "connection"):
        _OWN.connection = duckdb.connect(config=SETTINGS)
    _OWN.connection.register("examples", examples)
    try:
        yield _OWN.connection
    finally:
        _OWN.connection.unregister("examples")


def _computed(texts: Mapping[str, str], columns: pd.DataFrame) -> dict[str, np.ndarray]:
    """Expressions that were checked, in one query."""
    terms = ", ".join(f"({text}) AS value_{i}" for i, text in enumerate(texts.values()))
    try:
        with sandbox(columns) as connection:
            answer = connection.execute(f"SELECT {terms} FROM examples").df()
    except duckdb.Error as error:
        if len(texts) > 1:  # one by one, to say which
            return {p: _computed({p: text}, columns)[p] for p, text in texts.items()}
        [(place, text)] = texts.items()
        raise Refusal(f"{place} is {text!r}, but {reason(error, columns.columns)}") from None
    return {place: answer[f"value_{i}"].to_numpy() for i, place in enumerate(texts)}


def check(place: str, text: str, frame: pd.DataFrame) -> None:
    """Refuse anything but an expression over the frame's columns, in one sentence."""
    with sandbox(frame.head(0)) as connection:
        check_parts(connection, place, text, "an expression over the table's columns")
        try:
            sums_up = connection.sql(f"SELECT ({text}) AS value FROM examples").fetchall()
        except duckdb.Error as error:
            raise Refusal(f"{place} is {text!r}, but {reason(error, frame.columns)}") from None
    if sums_up:
        raise Refusal(
            f"{place} is {text!r}, which sums up rows; write an expression of one row's columns."
        )


def check_parts(connection: duckdb.DuckDBPyConnection, place: str, text: str, instead: str) -> None:
    """Refuse a SQL text that is more than one expression of a row's columns."""
    query, nodes = _parsed(connection, text)
    if query["error"]:
        raise Refusal(f"{place} is {text!r}, but it cannot be computed: {query['error_message']}")
    functions = [str(node.get("function_name", "")).lower() for node in nodes]
    beyond = [BEYOND[node["class"]] for node in nodes if node.get("class") in BEYOND]
    beyond += [f"{name}()" for name in functions if name in FUNCTIONS]
    if query != _parsed(connection, "1")[0]:
        beyond.append("more than one expression")
    if beyond:
        raise Refusal(f"{place} is {text!r}: {beyond[0]} is not allowed; write {instead}.")


def _parsed(
    connection: duckdb.DuckDBPyConnection, text: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The query that computes an expression as DuckDB parses it, and every node in it.

    The query is without positions, and says how many it selects, not what.
    """
    nodes: list[dict[str, Any]] = []

    def noted(node: dict[str, Any]) -> dict[str, Any]:
        nodes.append(node)
        parts = {key: part for key, part in node.items() if "query_location" not in key}
        return {key: len(part) if key == "select_list" else part for key, part in parts.items()}

    query = f"SELECT ({text}) AS value FROM examples"
    [[answer]] = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    return json.loads(answer, object_hook=noted), nodes


def reason(error: duckdb.Error, columns: Iterable[str]) -> str:
    """Why an expression fails, as a clause: a column that is not there, or what DuckDB says."""
    message = str(error).splitlines()[0]
    if "Referenced column" not in message:
        return f"it cannot be computed: {message}"
    column = message.split('"')[1]
    return f"there is no column {column!r}.{nearest(column, columns)}"
