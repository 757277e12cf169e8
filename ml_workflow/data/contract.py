"""The contract: what every column of a row promises, and what checks tables and API rows by it."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic_core import CoreSchema, core_schema
from pydantic_core.core_schema import TypedDictField

from ..task.definition import Task
from .joins import inputs

LEAP = r"((1[7-9]|2[01])(0[48]|[2468][048]|[13579][26])|22(0[48]|[24][048]|[13][26])|2000)"
DAY = (
    r"((1[7-9]\d\d|2[01]\d\d|22[0-4]\d)-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])"
    rf"|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)|{LEAP}-02-29)"
)
CLOCK = r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?)?"
TIME = f"^{DAY}{CLOCK}$"
"""A day, or a moment, in ISO 8601, from 1700 to 2249."""
BOUNDS = {"integer": (-(2.0**53), 2.0**53), "number": (-3e38, 3e38)}
"""What a number may be where the contract states no range: what libraries hold without loss."""
JSON = {"integer": "integer", "number": "number", "boolean": "boolean"}
ABSENT = object()
"""Stands for a value that a row of the API does not have."""


@dataclass(frozen=True)
class Column:
    """What one column promises: its type (integer, number, boolean, time or text), gaps, range, categories."""

    type: str
    nullable: bool
    min: float | None = None
    max: float | None = None
    categories: list[str] | None = None

    @classmethod
    def learned(cls, column: pd.Series, private: bool = False) -> "Column":
        """What a column promises by its known values; a private one promises its type only.

        A range reaches half its width beyond the values known, but not below zero where none is.
        """
        known, kind, gaps = column.dropna(), type_of(column), bool(column.isna().any())
        if private or known.empty:
            return cls(kind, gaps)
        if kind in BOUNDS:
            low, high = float(known.min()), float(known.max())
            room = (high - low) / 2
            return cls(kind, gaps, low if 0 <= low < room else low - room, high + room)
        if kind == "text" and known.nunique() <= min(50, len(known) / 5):
            return cls(kind, gaps, categories=sorted(known.astype(str).unique()))
        return cls(kind, gaps)

    def as_json(self) -> dict[str, Any]:
        """The rules that the column has, as contract.json keeps them."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def is_numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.type in BOUNDS

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest that a number may be."""
        if self.min is None or self.max is None:
            return BOUNDS.get(self.type, (-math.inf, math.inf))
        return self.min, self.max

    @property
    def rules(self) -> dict[str, str]:
        """The rules in words, by what they are of: type, range, categories."""
        low, high = self.bounds
        said = {"type": f"is {self.type}", "range": f"is from {low:g} to {high:g}"}
        return said | {"categories": f"is one of {len(self.categories or [])} categories"}

    def schema(self) -> pa.Column:
        """The column for pandera; whole numbers with gaps may come as decimals."""
        checks = [pa.Check(is_type(self.type), error=self.rules["type"])]
        if self.min is not None:
            checks.append(pa.Check(is_between(*self.bounds), error=self.rules["range"]))
        if self.categories is not None:
            checks.append(pa.Check(is_one_of(self.categories), error=self.rules["categories"]))
        return pa.Column(None, checks, nullable=self.nullable)

    def faults(self, value: Any, required: bool = True) -> list[str]:
        """The rules that a value of JSON breaks, in the words of the contract's own faults."""
        if value is ABSENT:
            return ["is there"] if required else []
        if value is None:
            return [] if self.nullable else ["is not missing"]
        broken = [] if IS[self.type](value) else [self.rules["type"]]
        number = as_number(value) if self.is_numeric else None
        low, high = self.bounds
        if number is not None and not low <= number <= high:
            broken.append(self.rules["range"])
        if self.categories is not None and str(value) not in self.categories:
            broken.append(self.rules["categories"])
        return broken

    def field(self, required: bool = True) -> TypedDictField:
        """What a value of JSON must be, for pydantic's core; where that doubts, `faults` says why."""
        field = FIELDS[self.type](self)
        nullable = core_schema.nullable_schema(field) if self.nullable else field
        return core_schema.typed_dict_field(nullable, required=required)

    def json_schema(self) -> dict[str, Any]:
        """The column as JSON Schema, for OpenAPI."""
        kind = JSON.get(self.type, "string")
        found: dict[str, Any] = {"type": [kind, "null"] if self.nullable else kind}
        if self.is_numeric:
            found["minimum"], found["maximum"] = self.bounds
        if self.type == "time":
            found["pattern"] = TIME
            found["description"] = (
                "A day or a moment in ISO 8601; without an offset as the release's own data has it."
            )
        if self.categories is not None:
            found["enum"] = [*self.categories, *([None] if self.nullable else [])]
        return found


@dataclass(frozen=True)
class Contract:
    """What every column of a row promises, by its name."""

    columns: Mapping[str, Column]

    @classmethod
    def learned(cls, task: Task, development: pd.DataFrame) -> "Contract":
        """What the input columns of the development part promise."""
        columns = inputs(task, development).items()
        return cls({str(n): Column.learned(c, n in task.private) for n, c in columns})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Contract":
        """The contract as contract.json keeps it."""
        return cls({name: Column(**rules) for name, rules in content.items()})

    def as_json(self) -> dict[str, Any]:
        """The contract as contract.json keeps it."""
        return {name: column.as_json() for name, column in self.columns.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    @property
    def numeric(self) -> list[str]:
        """The names of the columns of numbers."""
        return [name for name, column in self.columns.items() if column.is_numeric]

    def breaches(self, frame: pd.DataFrame, unit: str = "") -> pd.DataFrame:
        """Every breach: column, rule, and the row's position (-1: the whole table).

        With `unit` also units that repeat.
        """
        numbered, found = frame.reset_index(drop=True), [NO_BREACH]
        schema = pa.DataFrameSchema({name: c.schema() for name, c in self.columns.items()})
        try:
            schema.validate(numbered, lazy=True)
        except pa.errors.SchemaErrors as errors:
            found.append(_breaches(errors.failure_cases))
        if unit in numbered:
            again = np.flatnonzero(numbered[unit].duplicated())
            found.append(pd.DataFrame({"column": unit, "rule": "does not repeat", "row": again}))
        return pd.concat([part for part in found if len(part)] or found[:1], ignore_index=True)

    def faults(
        self, frame: pd.DataFrame, unit: str = "", private: list[str] | None = None
    ) -> pd.DataFrame:
        """The breaches by column and rule: how many rows, and three of them.

        Rows are named by unit or, where that is private, by position.
        """
        known = unit in frame and unit not in (private or [])
        name = frame[unit].astype(str).to_numpy() if known else np.arange(len(frame)).astype(str)
        rows = []
        for key, part in self.breaches(frame, unit).groupby(["column", "rule"], sort=False):
            places = part["row"].to_numpy(dtype=int)
            count = len(frame) if (places < 0).any() else len(set(places))
            rows.append((*key, count, ", ".join(name[places[places >= 0][:3]])))
        return pd.DataFrame(rows, columns=["column", "rule", "rows", "for example"])

    def quarantine(self, frame: pd.DataFrame, unit: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows that keep the contract, and the others with the reason; together every row once.

        Numbers that came as text are read.
        """
        frame = frame.reset_index(drop=True)
        read = frame.assign(
            **{name: _as_numbers(frame[name]) for name in self.numeric if name in frame}
        )
        found = self.breaches(read, unit)
        words = (found["column"] + " " + found["rule"]).groupby(found["row"].astype(int))
        said = words.agg("; ".join)
        whole, own = said.get(-1, ""), said.reindex(frame.index).fillna("")
        reason = own.map(lambda one: "; ".join(filter(None, [whole, one])))
        bad = reason != ""
        good_rows = read[~bad].infer_objects().reset_index(drop=True)
        return good_rows, frame[bad].assign(reason=reason[bad]).reset_index(drop=True)

    def typed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows with times and booleans that a database or JSON keeps as text or numbers, read.

        A column is read where all its values can be, else left for the contract's checks to tell.
        """
        read: dict[str, pd.Series[Any]] = {}
        for name, column in self.columns.items():
            given = frame[name]
            if column.type == "time" and not pd.api.types.is_datetime64_any_dtype(given):
                times = timestamps(given)
                read |= {name: times} if times.notna().equals(given.notna()) else {}
            elif column.type == "boolean" and not pd.api.types.is_bool_dtype(given):
                if given.dropna().isin([0, 1]).all():
                    read[name] = given.map(bool, na_action="ignore")
        return frame.assign(**read)


NO_BREACH = pd.DataFrame({"column": [], "rule": [], "row": []}, dtype=str)


def _breaches(cases: pd.DataFrame) -> pd.DataFrame:
    """Pandera's failure cases as breaches."""
    of_column = cases["schema_context"] == "Column"
    words = {"column_in_dataframe": "is there", "not_nullable": "is not missing"}
    return pd.DataFrame(
        {
            "column": cases["column"].where(of_column, cases["failure_case"]).astype(str),
            "rule": cases["check"].astype(str).replace(words),
            "row": cases["index"].fillna(-1).astype(int),
        }
    )


def _as_numbers(column: pd.Series) -> pd.Series:
    """A column of text with its numbers read; texts that are none stay as they are."""
    if type_of(column) != "text":
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().sum() == column.notna().sum():
        return numbers
    return column.where(numbers.isna(), numbers)


def timestamps(column: pd.Series) -> pd.Series:
    """Texts as times, missing where one is none; where offsets differ or some lack one, all in UTC."""
    try:
        return pd.to_datetime(column, errors="coerce", format="mixed")
    except ValueError:
        read = pd.to_datetime(column, errors="coerce", format="mixed", utc=True)
        return read.dt.tz_localize(None)


def type_of(column: pd.Series) -> str:
    """integer, number, boolean, time or text."""
    kinds = pd.api.types
    tests = {
        "boolean": kinds.is_bool_dtype,
        "integer": kinds.is_integer_dtype,
        "number": kinds.is_numeric_dtype,
        "time": kinds.is_datetime64_any_dtype,
    }
    return next((name for name, holds in tests.items() if holds(column)), "text")


def is_type(wanted: str) -> Callable[[pd.Series], pd.Series]:
    """A check of each cell's type; whole numbers pass for numbers, missing cells for all.

    Cells that could be read fail if all can: the column has another type.
    """

    def check(column: pd.Series) -> pd.Series:
        known = column.dropna()
        found = type_of(known)
        whole = (wanted, found) == ("integer", "number") and bool((known % 1 == 0).all())
        if known.empty or whole or found == wanted or (wanted, found) == ("number", "integer"):
            return column.notna() | True
        fits = can_be_read(wanted, known)
        return column.isna() | (fits & (not fits.all())).reindex(column.index, fill_value=False)

    return check


def is_between(low: float, high: float) -> Callable[[pd.Series], pd.Series]:
    """A check that each number lies in a range; what is no number is for the check of types to tell."""

    def check(column: pd.Series) -> pd.Series:
        numbers = pd.to_numeric(column, errors="coerce").astype(float)
        return numbers.between(low, high) | numbers.isna()

    return check


def is_one_of(categories: list[str]) -> Callable[[pd.Series], pd.Series]:
    """A check that each text is a known category."""
    return lambda column: column.astype(str).isin(categories) | column.isna()


def can_be_read(wanted: str, known: pd.Series) -> pd.Series:
    """Which cells of a column without gaps can be read as this type."""
    if wanted in BOUNDS:
        numbers = pd.to_numeric(known, errors="coerce")
        return numbers.notna() & ((numbers % 1 == 0) | (wanted == "number"))
    if wanted == "time":
        return pd.to_datetime(known, errors="coerce", format="mixed", utc=True).notna()
    if wanted == "boolean":
        return known.astype(str).str.lower().isin(["true", "false"])
    return known.map(lambda cell: isinstance(cell, str))


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
"""Whether a value of JSON is of a type."""


def as_number(value: Any) -> float | None:
    """A value of JSON as a number where it can be read as one."""
    if isinstance(value, (bool, int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    number = pd.to_numeric(value, errors="coerce") if isinstance(value, str) else math.nan
    return None if math.isnan(number) else float(number)


def _number_field(column: Column) -> CoreSchema:
    low, high = column.bounds
    return core_schema.float_schema(ge=low, le=high, strict=True, allow_inf_nan=False)


def _integer_field(column: Column) -> CoreSchema:
    """Whole numbers; they come as decimals where a column has gaps, elsewhere that is a doubt."""
    low, high = column.bounds
    whole = core_schema.int_schema(ge=math.ceil(low), le=math.floor(high), strict=True)
    if not column.nullable:
        return whole
    decimal = core_schema.float_schema(
        ge=low, le=high, strict=True, allow_inf_nan=False, multiple_of=1
    )
    return core_schema.union_schema([whole, decimal], mode="left_to_right")


def _a_time(value: str) -> str:
    """The value, or a ValueError where it is no day or moment in ISO 8601."""
    if not is_time(value):
        raise ValueError(value)
    return value


def _text_field(column: Column) -> CoreSchema:
    if column.categories:
        return core_schema.literal_schema(column.categories)
    return core_schema.str_schema(strict=True)


FIELDS: dict[str, Callable[[Column], CoreSchema]] = {
    "integer": _integer_field,
    "number": _number_field,
    "boolean": lambda _: core_schema.bool_schema(strict=True),
    "time": lambda _: core_schema.no_info_after_validator_function(
        _a_time, core_schema.str_schema(strict=True)
    ),
    "text": _text_field,
}
"""A type of column as pydantic's core checks it."""
