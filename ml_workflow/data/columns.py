"""What one column promises, and whether a table's cells or a value of JSON keep it."""

import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pydantic_core import CoreSchema, core_schema
from pydantic_core.core_schema import TypedDictField

LEAP = r"((1[7-9]|2[01])(0[48]|[2468][048]|[13579][26])|22(0[48]|[24][048]|[13][26])|2000)"
DAY = (
    r"((1[7-9]\d\d|2[01]\d\d|22[0-4]\d)-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])"
    rf"|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)|{LEAP}-02-29)"
)
CLOCK = r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)?)?"
TIME = f"^{DAY}{CLOCK}$"
"""A day, or a time of a day, in ISO 8601, from 1700 to 2249."""
BOUNDS = {"integer": (-(2.0**53), 2.0**53), "number": (-3e38, 3e38)}
"""What a number may be where the contract states no range: what libraries hold without loss."""
JSON = {"integer": "integer", "number": "number", "boolean": "boolean"}
ABSENT = object()
"""Stands for a value that a row of the API does not have."""


@dataclass(frozen=True)
class Column:
    """What a column promises: type, gaps, range, categories.

    The types are integer, number, boolean, time and text.
    """

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
        return {
            "type": f"is {self.type}",
            "range": f"is from {low:g} to {high:g}",
            "categories": f"is one of {len(self.categories or [])} categories",
        }

    def schema(self) -> pa.Column:
        """The column for pandera, which takes a check named like one of its own for that one."""
        checks = {"type": self.keeps_type}
        checks |= {"range": self.keeps_range} if self.min is not None else {}
        checks |= {"categories": self.keeps_categories} if self.categories is not None else {}
        rules = [pa.Check(check, error=self.rules[name]) for name, check in checks.items()]
        return pa.Column(None, rules, nullable=self.nullable)

    def keeps_type(self, cells: pd.Series) -> pd.Series:
        """Whether each cell has the type or is missing; whole numbers have both types of number.

        Cells that could be read as the type fail if all can: the column has another type.
        """
        known = cells.dropna()
        kind = type_of(known)
        if known.empty or kind == self.type:
            return cells.notna() | True
        fits = READABLE[self.type](known)
        if not (self.is_numeric and kind in BOUNDS):
            fits &= not fits.all()
        return cells.isna() | fits.reindex(cells.index, fill_value=False)

    def keeps_range(self, cells: pd.Series) -> pd.Series:
        """Whether each number lies in the range; what is no number is for `keeps_type` to tell."""
        numbers = pd.to_numeric(cells, errors="coerce").astype(float)
        return numbers.between(*self.bounds) | numbers.isna()

    def keeps_categories(self, cells: pd.Series) -> pd.Series:
        """Whether each text is a known category or missing."""
        return cells.astype(str).isin(self.categories or []) | cells.isna()

    def faults(self, value: Any, required: bool = True) -> list[str]:
        """The rules that a value of JSON breaks, in the words of the contract's own faults."""
        if value is ABSENT:
            return ["is there"] if required else []
        if value is None:
            return [] if self.nullable else ["is not missing"]
        number = as_number(value) if self.is_numeric else None
        low, high = self.bounds
        keeps = {
            "type": HAS_TYPE[self.type](value),
            "range": number is None or low <= number <= high,
            "categories": self.categories is None or str(value) in self.categories,
        }
        return [self.rules[name] for name, holds in keeps.items() if not holds]

    def field(self, required: bool = True) -> TypedDictField:
        """What a value of JSON must be, for pydantic's core; where that doubts, `faults` tells."""
        field = FIELDS[self.type](self)
        nullable = core_schema.nullable_schema(field) if self.nullable else field
        return core_schema.typed_dict_field(nullable, required=required)

    def json_schema(self) -> dict[str, Any]:
        """The column as JSON Schema, for OpenAPI."""
        kind = JSON.get(self.type, "string")
        schema: dict[str, Any] = {"type": [kind, "null"] if self.nullable else kind}
        if self.is_numeric:
            schema["minimum"], schema["maximum"] = self.bounds
        if self.type == "time":
            schema["pattern"] = TIME
            schema["description"] = (
                "A day or a moment in ISO 8601; without an offset as the release's own data has it."
            )
        if self.categories is not None:
            schema["enum"] = [*self.categories, *([None] if self.nullable else [])]
        return schema


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


def timestamps(column: pd.Series) -> pd.Series:
    """Texts as times, missing where one is none; where offsets differ or are lacking, in UTC."""
    try:
        return pd.to_datetime(column, errors="coerce", format="mixed")
    except ValueError:
        times = pd.to_datetime(column, errors="coerce", format="mixed", utc=True)
        return times.dt.tz_localize(None)


def days(times: pd.Series) -> pd.Series:
    """Times as days since 1970."""
    return (pd.to_datetime(times, utc=True) - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)


def numbers_in(column: pd.Series) -> pd.Series:
    """A column of text with its numbers read; texts that are none stay as they are."""
    if type_of(column) != "text":
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().sum() == column.notna().sum():
        return numbers
    return column.where(numbers.isna(), numbers)


def _are_integers(known: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(known, errors="coerce")
    return numbers.notna() & (numbers % 1 == 0)


READABLE: dict[str, Callable[[pd.Series], pd.Series]] = {
    "integer": _are_integers,
    "number": lambda known: pd.to_numeric(known, errors="coerce").notna(),
    "boolean": lambda known: known.astype(str).str.lower().isin(["true", "false"]),
    "time": lambda known: timestamps(known).notna(),
    "text": lambda known: known.map(lambda cell: isinstance(cell, str)),
}
"""Which cells of a column without gaps can be read as a type."""


_EXACT_TIME = re.compile(rf"{TIME}\Z", re.ASCII)


def is_time(value: Any) -> bool:
    """Whether a value is a day, or a time of a day, in ISO 8601."""
    return isinstance(value, str) and bool(_EXACT_TIME.match(value))


HAS_TYPE: dict[str, Callable[[Any], bool]] = {
    "integer": lambda value: type(value) in (int, float) and value % 1 == 0,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: type(value) is bool,
    "time": is_time,
    "text": lambda value: type(value) is str,
}
"""Whether a value of JSON is of a type; a whole number may be written 5 or 5.0."""


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
    decimal = core_schema.no_info_after_validator_function(_is_whole, _number_field(column))
    return core_schema.union_schema([whole, decimal], mode="left_to_right")


def _is_whole(value: float) -> float:
    """The value, or a ValueError; pydantic's own multiple_of lets pass what is nearly one."""
    if value % 1:
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
    "time": lambda _: core_schema.str_schema(pattern=_EXACT_TIME, strict=True),
    "text": _text_field,
}
"""A type of column as pydantic's core checks it."""
