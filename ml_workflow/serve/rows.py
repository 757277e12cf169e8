"""A row of the API: JSON held against a release's contract, and made the frame it was fitted on."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic_core import SchemaValidator, ValidationError, core_schema

from ..data.columns import ABSENT, Column, type_of
from ..model.release import Release

Row = dict[str, Any]
"""Values of JSON by column."""
DTYPES = {
    "integer": "int64",
    "number": "float64",
    "boolean": "bool",
    "time": "datetime64[us]",
    "text": "str",
}
"""How a frame holds a type of the contract where no example row shows it."""


class Breach(NamedTuple):
    """A rule that a row breaks: the row's number, the column, the rule in the contract's words."""

    row: int
    column: str
    rule: str


@dataclass(frozen=True)
class Field:
    """One column of a row: its promise, its type in the release's frames, an example in JSON."""

    name: str
    column: Column
    dtype: Any
    example: Any = None
    required: bool = True

    def json_schema(self) -> dict[str, Any]:
        """The field as JSON Schema, for OpenAPI."""
        examples = {} if self.example is None else {"examples": [self.example]}
        return self.column.json_schema() | examples

    def array(self, rows: Sequence[Row]) -> Any:
        """The field's values in sound rows, for a frame."""
        if isinstance(self.dtype, np.dtype) and self.dtype.kind in "iufb":
            with suppress(KeyError, TypeError):  # a value is missing
                return np.fromiter(map(itemgetter(self.name), rows), self.dtype, len(rows))
        values = [row.get(self.name) for row in rows]
        if self.column.type == "time":
            return times(values, self.dtype)
        if not isinstance(self.dtype, np.dtype):
            return pd.array(values, dtype=self.dtype)  # type: ignore[call-overload]
        with_gaps = float if self.column.is_numeric else object
        return np.array(values, dtype=with_gaps if None in values else self.dtype)


class RowSchema:
    """The fields of a row: what is sound, and the frame that sound rows make."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = fields
        columns = {field.name: field.column.field(field.required) for field in fields}
        row = core_schema.typed_dict_schema(columns, extra_behavior="ignore")
        self.validator = SchemaValidator(core_schema.list_schema(row))

    def read(self, raw: bytes) -> list[Row] | None:
        """The rows of a JSON list where all are surely sound, without what no field holds."""
        # NaN and Infinity are no JSON, but would be read all the same
        if not raw.startswith(b"[") or b"NaN" in raw or b"Infinity" in raw:
            return None
        try:
            return list(self.validator.validate_json(raw))
        except ValidationError:
            return None

    def breaches(self, rows: Sequence[Row]) -> Iterator[Breach]:
        """Every rule that rows break, row by row."""
        if self.validator.isinstance_python(rows):  # where it doubts, the columns tell
            return
        for i, row in enumerate(rows):
            for field in self.fields:
                value = row.get(field.name, ABSENT)
                for rule in field.column.faults(value, field.required):
                    yield Breach(i, field.name, rule)

    def frame(self, rows: Sequence[Row]) -> pd.DataFrame:
        """Sound rows as a frame like those that the release was fitted on."""
        return pd.DataFrame({f.name: f.array(rows) for f in self.fields}, copy=False)


def times(values: list[Any], dtype: Any) -> Any:
    """Times in ISO 8601 as the release's frames hold them, in UTC where these tell no offset."""
    utc = pd.Series(pd.to_datetime(values, format="ISO8601", utc=True))
    aware = utc if getattr(dtype, "tz", None) else utc.dt.tz_localize(None)
    return aware.astype(dtype).array


def row_schema(release: Release) -> RowSchema:
    """The contract's columns, and those that only the task's values or its current process name.

    The latter may be left out of a row.
    """
    task, contract = release.task, release.contract
    words = " ".join(_texts(task.model_dump(include={"value", "current_process"}))).lower()
    others = {
        str(name): Column(type_of(cells), nullable=True)
        for name, cells in release.examples.filter(regex="^(?!promised_)").items()
        if name not in contract and name != task.target.column and str(name).lower() in words
    }
    fields = [_field(release, name, column) for name, column in contract.items()]
    return RowSchema(fields + [_field(release, *other, required=False) for other in others.items()])


def _texts(value: Any) -> list[str]:
    """Every text in nested values."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    return [value] if isinstance(value, str) else []


def _field(release: Release, name: str, column: Column, required: bool = True) -> Field:
    """A field as the release's example rows show it; of a private column no value is shown."""
    numbers = "number" if column.type == "integer" and column.nullable else column.type
    cells = release.examples.get(name, pd.Series(dtype=DTYPES[numbers]))
    known = cells.dropna()
    hidden = known.empty or name in release.task.private
    return Field(name, column, cells.dtype, None if hidden else as_json(known.iloc[0]), required)


def as_rows(frame: pd.DataFrame) -> list[Row]:
    """A frame's rows as JSON brings them."""
    return [
        {str(name): as_json(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def as_json(value: Any) -> Any:
    """A cell as JSON has it."""
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value
