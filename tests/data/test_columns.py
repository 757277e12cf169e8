"""A column promises what its rows keep; pydantic and words agree on values of JSON."""

from datetime import datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import SchemaValidator, core_schema

from ml_workflow.data.columns import Column, is_time
from ml_workflow.data.contract import Contract

VALUES = {
    "integer": st.integers(-(2**53), 2**53),
    "number": st.floats(-1e300, 1e300, allow_subnormal=False),
    "boolean": st.booleans(),
    "text": st.text(),
    "time": st.datetimes(datetime(1700, 1, 1), datetime(2249, 12, 31)),
}
JSON = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([])


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_rows_that_a_column_was_learned_from_keep_it(kind: str, data: st.DataObject) -> None:
    cells = pd.Series(data.draw(st.lists(VALUES[kind], min_size=1, max_size=30)))
    column = Column.learned(cells)
    assert column.type == kind and not column.nullable
    assert Contract({"x": column}).breaches(cells.to_frame("x")).empty


COLUMNS = [Column(kind, gaps) for kind in VALUES for gaps in (True, False)]
COLUMNS += [Column("number", False, -1.5, 5.0), Column("text", True, categories=["a", "5"])]


@pytest.mark.parametrize("column", COLUMNS, ids=str)
@given(value=JSON)
@settings(max_examples=50, deadline=None)
def test_what_pydantic_lets_pass_has_no_fault(column: Column, value: Any) -> None:
    row = core_schema.typed_dict_schema({"x": column.field()})
    faults = column.faults(value)
    assert not (SchemaValidator(row).isinstance_python({"x": value}) and faults), faults


@given(st.from_regex(r"\A(17|20|22)[0-9]{2}-[0-2][0-9]-[0-3][0-9]([T ][0-9:.]{5,8}Z?)?\n?\Z"))
@settings(max_examples=300, deadline=None)
def test_what_is_called_a_time_can_be_read_as_one(text: str) -> None:
    assert not is_time(text) or datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-02-29", True),
        ("2021-02-29", False),
        ("2021-02-28T23:59:59.123Z", True),
        ("2021-02-28 10:00+05:30", True),
        ("2021-02-28T24:00", False),
        ("2021-02-28\n", False),
        ("٢٠٢١-02-28", False),
        (20210228, False),
    ],
)
def test_times_are_days_or_moments_in_iso_8601(text: object, expected: bool) -> None:
    assert is_time(text) is expected
