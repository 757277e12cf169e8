"""Rows as JSON brings them, held against a release's contract in plain Python, and made a frame with the types that the release was fitted on."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from ..store.release import Release

Row = dict[str, Any]
Fault = tuple[int, str, str]
"""A row's number, a column, and the rule that it breaks."""
LEAP = r"((1[7-9]|2[01])(0[48]|[2468][048]|[13579][26])|22(0[48]|[24][048]|[13][26])|2000)"
DAY = rf"((1[7-9]\d\d|2[01]\d\d|22[0-4]\d)-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)|{LEAP}-02-29)"
TIME = rf"^{DAY}([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{{1,6}})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?)?$"
"""A day, or a moment, in ISO 8601, from 1700 to 2249."""
BOUNDS = {"integer": (-(2.0**53), 2.0**53), "number": (-3e38, 3e38)}
"""What a number may be where the contract states no range: what the libraries hold without loss or overflow."""
ABSENT, NONE = object(), type(None)


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

    def sound(self, values: list[Any]) -> bool:
        """Whether values of JSON surely keep the rules: told for all at once, at a fraction of what `faults` takes."""
        kinds, kind = set(map(type, values)), self.rule["type"]
        if kinds - PLAIN[kind] - ({NONE} if self.rule["nullable"] else set()):
            return False
        known = [value for value in values if value is not None] if NONE in kinds else values
        if kind in BOUNDS and known:
            low, high = self.bounds
            if not low <= min(known) <= max(known) <= high or (kind == "integer" and float in kinds and not all(map(is_integer, known))):
                return False
        if kind == "time" and not all(map(is_time, set(known))):
            return False
        return "categories" not in self.rule or set(map(str, known)) <= set(self.rule["categories"])

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest that a number may be."""
        return (self.rule["min"], self.rule["max"]) if "min" in self.rule else BOUNDS[self.rule["type"]]

    def schema(self) -> dict[str, Any]:
        """The column as JSON Schema."""
        kind, nullable = self.rule["type"], self.rule["nullable"]
        found: dict[str, Any] = {"type": JSON[kind]}
        if kind in BOUNDS:
            low, high = self.bounds
            found |= {"minimum": low, "maximum": high}
        if kind == "time":
            found |= {"pattern": TIME, "description": "A day or a moment in ISO 8601; without an offset as the release's own data has it."}
        if "categories" in self.rule:
            found |= {"enum": [*self.rule["categories"], *([None] if nullable else [])]}
        if nullable:
            found["type"] = [found["type"], "null"]
        return found | ({} if self.example is None else {"examples": [self.example]})

    def array(self, values: list[Any]) -> Any:
        """Values that keep the rules as a column of a frame."""
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


IS: dict[str, Callable[[Any], bool]] = {
    "integer": is_integer,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: type(value) is bool,
    "time": is_time,
    "text": lambda value: type(value) is str,
}
PLAIN: dict[str, set[type]] = {"integer": {int, float}, "number": {int, float}, "boolean": {bool}, "time": {str}, "text": {str}}
"""The types that JSON's values of a column come in."""
JSON = {"integer": "integer", "number": "number", "boolean": "boolean", "time": "string", "text": "string"}


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
    aware = [m if m is None else m.replace(tzinfo=UTC) if m.tzinfo is None else m.astimezone(UTC) for m in moments]
    found = pd.Series(pd.to_datetime(np.array(aware, dtype=object), utc=True))
    return (found.astype(dtype) if getattr(dtype, "tz", None) else found.dt.tz_localize(None).astype(dtype)).array


def columns_of(release: Release) -> list[Column]:
    """The columns of a row: the contract's, and those that only the task's expressions or its current process name."""
    task, examples = release.task(), release.examples
    told = [Column(name, rule, _dtype(release, name, rule), _example(release, name)) for name, rule in release.contract.items()]
    words = " ".join(_texts(task.model_dump(include={"value", "current_process"}))).lower()
    named = [c for c in map(str, examples) if c not in release.contract and not c.startswith("promised_") and c != task.target.column and c.lower() in words]
    kind = release._module("dataset").type_of
    return told + [Column(c, {"type": kind(examples[c]), "nullable": True}, examples[c].dtype, _example(release, c), required=False) for c in named]


def _texts(value: Any) -> list[str]:
    """Every text in nested values."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    return [value] if isinstance(value, str) else []


def _dtype(release: Release, name: str, rule: dict[str, Any]) -> Any:
    """A column's type as in the release's example rows; a private column's follows from its rule."""
    if name in release.examples:
        return release.examples[name].dtype
    usual = {"integer": "float64" if rule["nullable"] else "int64", "number": "float64", "boolean": "bool", "time": "datetime64[us]", "text": "str"}
    return pd.api.types.pandas_dtype(usual[rule["type"]])


def _example(release: Release, name: str) -> Any:
    """The first known example value, as JSON has it; None for a private column."""
    task = release.task()
    if name not in release.examples or name in task.private:
        return None
    return next((as_json(value) for value in release.examples[name].dropna()), None)


def as_json(value: Any) -> Any:
    """A cell as JSON has it."""
    return None if pd.isna(value) else value.isoformat() if isinstance(value, pd.Timestamp) else getattr(value, "item", lambda: value)()


def faults(columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[Fault]:
    """Every fault of rows, with its rule as 02's contract names it."""
    doubtful = [c for c, values in zip(columns, by_column(columns, rows, ABSENT), strict=True) if not c.sound(values)]
    for i, row in enumerate(rows if doubtful else ()):
        for column in doubtful:
            for rule in column.faults(row.get(column.name, ABSENT)):
                yield i, column.name, rule


def frame(columns: Sequence[Column], rows: Sequence[Row]) -> pd.DataFrame:
    """Sound rows as a frame like those that the release was fitted on."""
    return pd.DataFrame({c.name: c.array(values) for c, values in zip(columns, by_column(columns, rows), strict=True)}, copy=False)


def by_column(columns: Sequence[Column], rows: Sequence[Row], absent: Any = None) -> list[list[Any]]:
    """The values of each column; in one pass where every row has them all."""
    names = [c.name for c in columns]
    try:
        *found, _ = zip(*map(itemgetter(*names, names[0]), rows), strict=True)  # the first again: of a single name it would give no tuple
        return [list(values) for values in found]
    except KeyError:
        return [[row.get(name, absent) for row in rows] for name in names]
