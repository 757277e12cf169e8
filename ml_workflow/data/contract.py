"""The contract: what every column of a row promises, learnt from the development part."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from ..task.definition import Task
from .joins import inputs


def contract_of(task: Task, development: pd.DataFrame) -> dict[str, dict[str, Any]]:
    "For each input column: type, whether it may be missing, range or categories, learnt from the development part."
    return {
        str(name): rules(column, name in task.private)
        for name, column in inputs(task, development).items()
    }


def rules(column: pd.Series, private: bool = False) -> dict[str, Any]:
    "What one column promises; a private column promises its type only."
    known = column.dropna()
    found: dict[str, Any] = {"type": type_of(column), "nullable": bool(column.isna().any())}
    if private or known.empty:
        return found
    if found["type"] in ("integer", "number"):
        low, high = float(known.min()), float(known.max())
        room = (high - low) / 2
        found |= {"min": low if low >= 0 and low - room < 0 else low - room, "max": high + room}
    elif found["type"] == "text" and known.nunique() <= min(50, len(known) / 5):
        found["categories"] = sorted(known.astype(str).unique())
    return found


def type_of(column: pd.Series) -> str:
    "integer, number, boolean, time or text."
    kinds = pd.api.types
    for name, test in (
        ("boolean", kinds.is_bool_dtype),
        ("integer", kinds.is_integer_dtype),
        ("number", kinds.is_numeric_dtype),
        ("time", kinds.is_datetime64_any_dtype),
    ):
        if test(column):
            return name
    return "text"


def schema(contract: dict[str, dict[str, Any]]) -> pa.DataFrameSchema:
    "The contract as a pandera schema; whole numbers with gaps may come as decimals."
    columns = {}
    for name, rule in contract.items():
        checks = [pa.Check(is_type(rule["type"]), name="is_type", error=f"is {rule['type']}")]
        if "min" in rule:
            checks.append(
                pa.Check(
                    is_between(rule["min"], rule["max"]),
                    name="is_between",
                    error=f"is from {rule['min']:g} to {rule['max']:g}",
                )
            )
        if "categories" in rule:
            checks.append(
                pa.Check(
                    is_one_of(rule["categories"]),
                    name="is_one_of",
                    error=f"is one of {len(rule['categories'])} categories",
                )
            )
        columns[name] = pa.Column(None, checks, nullable=rule["nullable"])
    return pa.DataFrameSchema(columns, strict=False)


def is_type(kind: str) -> Callable[[pd.Series], pd.Series]:
    "A check of each cell's type; whole numbers pass for numbers, missing cells for all. Cells that could be read fail if all can: the column has another type."

    def check(column: pd.Series) -> pd.Series:
        known = column.dropna()
        whole = kind == "integer" and type_of(known) == "number" and bool((known % 1 == 0).all())
        if (
            known.empty
            or whole
            or type_of(known) == kind
            or (kind, type_of(known)) == ("number", "integer")
        ):
            return column.notna() | True
        fits = read_as(kind, known)
        return column.isna() | (fits & (not fits.all())).reindex(column.index, fill_value=False)

    return check


def is_between(low: float, high: float) -> Callable[[pd.Series], pd.Series]:
    "A check that each number lies in a range; what is no number is for the check of types to tell."

    def check(column: pd.Series) -> pd.Series:
        numbers = pd.to_numeric(column, errors="coerce").astype(float)
        return numbers.between(low, high) | numbers.isna()

    return check


def is_one_of(categories: list[str]) -> Callable[[pd.Series], pd.Series]:
    "A check that each text is a known category."
    return lambda column: column.astype(str).isin(categories) | column.isna()


def read_as(kind: str, known: pd.Series) -> pd.Series:
    "Which cells of a column without gaps can be read as this type."
    if kind in ("integer", "number"):
        numbers = pd.to_numeric(known, errors="coerce")
        return numbers.notna() & ((numbers % 1 == 0) | (kind == "number"))
    if kind == "time":
        return pd.to_datetime(known, errors="coerce", format="mixed", utc=True).notna()
    if kind == "boolean":
        return known.astype(str).str.lower().isin(["true", "false"])
    return known.map(lambda cell: isinstance(cell, str))


def breaches(
    contract: dict[str, dict[str, Any]], frame: pd.DataFrame, unit: str = ""
) -> pd.DataFrame:
    "Every breach of the contract: column, rule, and the row's position (-1: the whole table); with `unit` also units that repeat."
    numbered, found = frame.reset_index(drop=True), []
    try:
        schema(contract).validate(numbered, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        named = (
            cases["column"]
            .where(cases["schema_context"] == "Column", cases["failure_case"])
            .astype(str)
        )
        rule = (
            cases["check"]
            .astype(str)
            .replace({"column_in_dataframe": "is there", "not_nullable": "is not missing"})
        )
        found.append(
            pd.DataFrame(
                {"column": named, "rule": rule, "row": cases["index"].fillna(-1).astype(int)}
            )
        )
    if unit in numbered and (again := np.flatnonzero(numbered[unit].duplicated())).size:
        found.append(pd.DataFrame({"column": unit, "rule": "does not repeat", "row": again}))
    return (
        pd.concat(found, ignore_index=True)
        if found
        else pd.DataFrame({"column": [], "rule": [], "row": []}, dtype=str)
    )


def faults(
    contract: dict[str, dict[str, Any]],
    frame: pd.DataFrame,
    unit: str = "",
    private: list[str] | None = None,
) -> pd.DataFrame:
    "The breaches by column and rule: how many rows, and three of them, by unit or, where that is private, by position."
    found = breaches(contract, frame, unit)
    known = unit in frame and unit not in (private or [])
    name = frame[unit].astype(str).to_numpy() if known else np.arange(len(frame)).astype(str)
    rows = []
    for (column, rule), part in found.groupby(["column", "rule"], sort=False):
        places = part["row"].to_numpy(dtype=int)
        rows.append(
            {
                "column": column,
                "rule": rule,
                "rows": len(frame) if (places < 0).any() else len(set(places)),
                "for example": ", ".join(name[places[places >= 0][:3]]),
            }
        )
    return pd.DataFrame(rows, columns=["column", "rule", "rows", "for example"])


def quarantined(
    contract: dict[str, dict[str, Any]], frame: pd.DataFrame, unit: str = ""
) -> tuple[pd.DataFrame, pd.DataFrame]:
    "The rows that keep the contract, and the others with the reason; together every row once. Numbers that came as text are read."
    frame = frame.reset_index(drop=True)
    read = frame.copy()
    for name, rule in contract.items():
        if (
            rule["type"] in ("integer", "number")
            and name in frame
            and type_of(frame[name]) == "text"
        ):
            numbers = pd.to_numeric(frame[name], errors="coerce")
            read[name] = (
                numbers
                if numbers.notna().sum() == frame[name].notna().sum()
                else frame[name].where(numbers.isna(), numbers)
            )
    found = breaches(contract, read, unit)
    said = (found["column"] + " " + found["rule"]).groupby(found["row"].astype(int)).agg("; ".join)
    whole = said.get(-1, "")
    reason = (
        said.reindex(frame.index).fillna("").map(lambda own: "; ".join(filter(None, [whole, own])))
    )
    bad = reason != ""
    return read[~bad].infer_objects().reset_index(drop=True), frame[bad].assign(
        reason=reason[bad]
    ).reset_index(drop=True)
