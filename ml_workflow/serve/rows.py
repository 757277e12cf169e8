"""Rows as JSON brings them, held against a release's contract in plain Python, and made a frame with the types that the release was fitted on."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema
from pydantic_core.core_schema import TypedDictField

from ..model.release import Release

Row = dict[str, Any]
Fault = tuple[int, str, str]
"""A row's number, a column, and the rule that it breaks."""
LEAP = r"((1[7-9]|2[01])(0[48]|[2468][048]|[13579][26])|22(0[48]|[24][048]|[13][26])|2000)"
DAY = rf"((1[7-9]\d\d|2[01]\d\d|22[0-4]\d)-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)|{LEAP}-02-29)"
TIME = rf"^{DAY}([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{{1,6}})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?)?$"
"""A day, or a moment, in ISO 8601, from 1700 to 2249."""
BOUNDS = {"integer": (-(2.0**53), 2.0**53), "number": (-3e38, 3e38)}
"""What a number may be where the contract states no range: what the libraries hold without loss or overflow."""
ABSENT = object()


@dataclass(frozen=True)
class Column:
    """One column of a row: its rule in the contract, and its type in the release's frames."""

    name: str
    rule: dict[str, Any]
    dtype: Any
    example: Any = None
    required: bool = True

    def faults(self, value: Any) -> list[str]:
        """The rules that a value of JSON breaks, in the words of the contract's own faults."""
        rule = self.rule
        if value is ABSENT:
            return ["is there"] if self.required else []
        if value is None:
            return [] if rule["nullable"] else ["is not missing"]
        found = [] if IS[rule["type"]](value) else [f"is {rule['type']}"]
        if rule["type"] in BOUNDS:
            low, high = self.bounds
            number = as_number(value)
            if number is not None and not low <= number <= high:
                found.append(f"is from {low:g} to {high:g}")
        if "categories" in rule and str(value) not in rule["categories"]:
            found.append(f"is one of {len(rule['categories'])} categories")
        return found

    def field(self) -> TypedDictField:
        """What a value of JSON must be, for pydantic's core."""
        kind = self.rule["type"]
        low, high = self.bounds if kind in BOUNDS else (0, 0)
        whole = (
            core_schema.int_schema(ge=math.ceil(low), le=math.floor(high), strict=True)
            if kind == "integer"
            else core_schema.int_schema()
        )  # a number's may be infinite
        decimal = core_schema.float_schema(
            ge=low,
            le=high,
            strict=True,
            allow_inf_nan=False,
            multiple_of=1 if kind == "integer" else None,
        )
        plain: dict[
            str, CoreSchema
        ] = {  # whole numbers come as decimals where a column has gaps; elsewhere that is a doubt
            "integer": core_schema.union_schema([whole, decimal], mode="left_to_right")
            if self.rule["nullable"]
            else whole,
            "number": decimal,
            "boolean": core_schema.bool_schema(strict=True),
            "time": core_schema.no_info_after_validator_function(
                a_time, core_schema.str_schema(strict=True)
            ),
            "text": core_schema.literal_schema(self.rule["categories"])
            if self.rule.get("categories")
            else core_schema.str_schema(strict=True),
        }
        return core_schema.typed_dict_field(
            core_schema.nullable_schema(plain[kind]) if self.rule["nullable"] else plain[kind],
            required=self.required,
        )

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest that a number may be."""
        return (
            (self.rule["min"], self.rule["max"])
            if "min" in self.rule
            else BOUNDS[self.rule["type"]]
        )

    def schema(self) -> dict[str, Any]:
        """The column as JSON Schema."""
        kind, nullable = self.rule["type"], self.rule["nullable"]
        found: dict[str, Any] = {"type": JSON[kind]}
        if kind in BOUNDS:
            low, high = self.bounds
            found |= {"minimum": low, "maximum": high}
        if kind == "time":
            found |= {
                "pattern": TIME,
                "description": "A day or a moment in ISO 8601; without an offset as the release's own data has it.",
            }
        if "categories" in self.rule:
            found |= {"enum": [*self.rule["categories"], *([None] if nullable else [])]}
        if nullable:
            found["type"] = [found["type"], "null"]
        return found | ({} if self.example is None else {"examples": [self.example]})

    def array(self, rows: Sequence[Row]) -> Any:
        """The column of rows that keep the rules, for a frame."""
        if isinstance(self.dtype, np.dtype) and self.dtype.kind in "iufb":
            with suppress(KeyError, TypeError):  # a value is missing
                return np.fromiter(map(itemgetter(self.name), rows), self.dtype, len(rows))
        values = [row.get(self.name) for row in rows]
        if self.rule["type"] == "time":
            return times(values, self.dtype)
        if not isinstance(self.dtype, np.dtype):
            return pd.array(values, dtype=self.dtype)  # type: ignore[call-overload]
        usual = float if self.rule["type"] in BOUNDS else object
        return np.array(values, dtype=usual if None in values else self.dtype)


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number, be it written 5 or 5.0."""
    return type(value) is int or (type(value) is float and value.is_integer())


def is_time(value: Any) -> bool:
    """Whether a value is a day or a moment in ISO 8601."""
    if not (isinstance(value, str) and re.fullmatch(TIME, value)):
        return False
    try:
        return bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def a_time(value: str) -> str:
    """The value, or a ValueError where it is no day or moment in ISO 8601."""
    if not is_time(value):
        raise ValueError(value)
    return value


IS: dict[str, Callable[[Any], bool]] = {
    "integer": is_integer,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: type(value) is bool,
    "time": is_time,
    "text": lambda value: type(value) is str,
}
JSON = {
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "time": "string",
    "text": "string",
}


def as_number(value: Any) -> float | None:
    """A value as a number where it can be read as one."""
    if isinstance(value, (bool, int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    number = pd.to_numeric(value, errors="coerce") if isinstance(value, str) else math.nan
    return None if math.isnan(number) else float(number)


def times(values: list[Any], dtype: Any) -> Any:
    """Moments as the release's frames have them; an offset is turned into UTC where they have none."""
    moments = [None if v is None else datetime.fromisoformat(v) for v in values]
    aware = [
        m if m is None else m.replace(tzinfo=UTC) if m.tzinfo is None else m.astimezone(UTC)
        for m in moments
    ]
    found = pd.Series(pd.to_datetime(np.array(aware, dtype=object), utc=True))
    return (
        found.astype(dtype)
        if getattr(dtype, "tz", None)
        else found.dt.tz_localize(None).astype(dtype)
    ).array


def columns_of(release: Release) -> list[Column]:
    """The columns of a row: the contract's, and those that only the task's expressions or its current process name."""
    task, examples = release.task(), release.examples
    told = [
        Column(name, rule, _dtype(release, name, rule), _example(release, name))
        for name, rule in release.contract.items()
    ]
    words = " ".join(_texts(task.model_dump(include={"value", "current_process"}))).lower()
    named = [
        c
        for c in map(str, examples)
        if c not in release.contract
        and not c.startswith("promised_")
        and c != task.target.column
        and c.lower() in words
    ]
    kind = release._module("dataset").type_of
    return told + [
        Column(
            c,
            {"type": kind(examples[c]), "nullable": True},
            examples[c].dtype,
            _example(release, c),
            required=False,
        )
        for c in named
    ]


def _texts(value: Any) -> list[str]:
    """Every text in nested values."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    return [value] if isinstance(value, str) else []


def _dtype(release: Release, name: str, rule: dict[str, Any]) -> Any:
    """A column's type as in the release's example rows; a private column's follows from its rule."""
    if name in release.examples:
        return release.examples[name].dtype
    usual = {
        "integer": "float64" if rule["nullable"] else "int64",
        "number": "float64",
        "boolean": "bool",
        "time": "datetime64[us]",
        "text": "str",
    }
    return pd.api.types.pandas_dtype(usual[rule["type"]])


def _example(release: Release, name: str) -> Any:
    """The first known example value, as JSON has it; None for a private column."""
    task = release.task()
    if name not in release.examples or name in task.private:
        return None
    return next((as_json(value) for value in release.examples[name].dropna()), None)


def as_json(value: Any) -> Any:
    """A cell as JSON has it."""
    return (
        None
        if pd.isna(value)
        else value.isoformat()
        if isinstance(value, pd.Timestamp)
        else getattr(value, "item", lambda: value)()
    )


class Quick:
    """Tells of many rows at once whether all surely keep the rules of their columns; what is in doubt is for `faults` to say."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.schema = SchemaValidator(
            core_schema.list_schema(
                core_schema.typed_dict_schema(
                    {c.name: c.field() for c in columns}, extra_behavior="ignore"
                )
            )
        )

    def keeps(self, rows: Sequence[Row]) -> bool:
        """Whether rows surely keep the rules."""
        return self.schema.isinstance_python(rows)

    def read(self, raw: bytes) -> list[Row] | None:
        """The rows of a JSON list where all surely keep the rules, without what no column holds."""
        if (
            not raw.startswith(b"[") or b"NaN" in raw or b"Infinity" in raw
        ):  # the last two are no JSON, but read all the same
            return None
        try:
            return list(self.schema.validate_json(raw))
        except ValidationError:
            return None


def faults(columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[Fault]:
    """Every fault of rows, with its rule as 02's contract names it."""
    for i, row in enumerate(rows):
        for column in columns:
            for rule in column.faults(row.get(column.name, ABSENT)):
                yield i, column.name, rule


def frame(columns: Sequence[Column], rows: Sequence[Row]) -> pd.DataFrame:
    """Sound rows as a frame like those that the release was fitted on."""
    return pd.DataFrame({c.name: c.array(rows) for c in columns}, copy=False)
