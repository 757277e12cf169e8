"""A row of the API has the faults that the contract finds in a table, and becomes the same frame."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml_workflow.data.columns import ABSENT, Column
from ml_workflow.data.corruptions import CORRUPTIONS, Columns
from ml_workflow.serve.rows import Breach, Field, RowSchema
from tests.serve.conftest import Home, as_rows

COLUMNS = [
    Column("integer", False, -1.5, 5),
    Column("integer", False),
    Column("number", False, 0, 5),
    Column("number", False),
    Column("boolean", False),
    Column("time", False),
    Column("text", False),
    Column("text", False, categories=["a", "5"]),
]
TIMES = ["2020-02-29", "2021-02-29", "2021-02-28T24:00"]
VALUES = [0, 5, 6, -1, -2, 5.0, 5.5, -0.0, 1e300, 10**400, True, False, "a", "b", "5", "", *TIMES]


@pytest.mark.parametrize("column", COLUMNS, ids=str)
@pytest.mark.parametrize("nullable", [True, False])
def test_what_is_surely_sound_has_no_fault(column: Column, nullable: bool) -> None:
    rules = Column(column.type, nullable, column.min, column.max, column.categories)
    text = Column("text", True)
    schema = RowSchema(
        [Field("x", rules, np.dtype(object)), Field("y", text, np.dtype(object), required=False)]
    )
    rows = [{"x": value} for value in [*VALUES, [], {}, None]]
    for row in [*rows, {"y": "a"}, {"x": 0, "y": 1}, {"x": 0, "z": 1}]:
        doubtful = rules.type == "integer" and not nullable and isinstance(row.get("x"), float)
        faults = [*rules.faults(row.get("x", ABSENT)), *text.faults(row.get("y", ABSENT), False)]
        sound = not faults and not doubtful
        assert schema.surely_sound([row, row]) == sound, row
        known = {name: value for name, value in row.items() if name != "z"}
        assert schema.read(json.dumps([row]).encode()) == ([known] if sound else None), row
        assert [breach.rule for breach in schema.breaches([row])] == faults
    for raw in (b'[{"x": 0, "z": NaN}]', b'[{"x": 0, "z": -Infinity}]', b"[", b'{"x": 0}'):
        assert schema.read(raw) is None


def test_rows_have_the_faults_that_pandera_finds(home: Home) -> None:
    release, schema = home.live.model.release, home.live.model.rows
    rows = [
        {name: value for name, value in row.items() if name in release.contract}
        for row in as_rows(broken(home.holdout.head(4), release.task))
    ]
    expected = []
    for i, row in enumerate(rows):
        table = release.contract.breaches(pd.DataFrame([row]))
        faults = set(zip(table["column"], table["rule"], strict=True))
        own = list(schema.breaches([row]))
        assert {breach[1:] for breach in own} == faults, row
        expected += [breach._replace(row=i) for breach in own]
    assert list(schema.breaches(rows)) == expected
    assert len({breach.row for breach in expected}) > 40 and schema.surely_sound(rows[:4])


def broken(rows: pd.DataFrame, task: Any) -> pd.DataFrame:
    """Rows as they are and as each corruption leaves them."""
    inputs = rows.drop(columns=[task.unit, task.target.column])
    numeric = list(map(str, inputs.select_dtypes("number")))
    others = [str(name) for name in inputs if name not in numeric]
    columns = Columns(numeric, others, [], task.unit, task.target.column, rows)
    corrupted = [
        corrupt(rows, columns, np.random.default_rng(0)) for corrupt in CORRUPTIONS.values()
    ]
    parts = [rows, *(part for part in corrupted if part is not None)]
    return pd.concat([part.head(4).astype(object) for part in parts])


def test_a_frame_is_typed_as_the_release_was_fitted(each: Home) -> None:
    schema = each.live.model.rows
    names = [field.name for field in schema.fields]
    holdout = each.holdout[names]
    pd.testing.assert_frame_equal(schema.frame(as_rows(holdout)), holdout)
    assert schema.frame(as_rows(holdout.head(1))).dtypes.equals(holdout.dtypes)


def test_a_column_that_only_the_current_process_names_may_be_left_out(
    homes: dict[str, Home],
) -> None:
    schema = homes["masses"].live.model.rows
    fee = schema.fields[-1]
    assert (fee.name, fee.required, fee.example) == ("fee", False, 1.5)
    row = as_rows(homes["masses"].holdout.head(1))[0]
    assert list(schema.breaches([{k: v for k, v in row.items() if k != "fee"}])) == []
    assert list(schema.breaches([row | {"fee": "much"}])) == [Breach(0, "fee", "is number")]
    private = {field.name: field for field in homes["sexes"].live.model.rows.fields}
    assert private["fee"].example is private["island"].example is None
    assert private["fee"].dtype == "float64"


@pytest.mark.parametrize("dtype", ["datetime64[us]", "datetime64[ns, UTC]"])
def test_times_with_and_without_an_offset_are_the_same_time(dtype: str) -> None:
    field = Field("seen", Column("time", True), pd.api.types.pandas_dtype(dtype))
    texts = ["2026-01-01", "2026-01-01T01:00:00.5+01:00", "2026-01-01 00:00Z", None]
    times = field.array([{"seen": text} for text in texts])
    assert times.dtype == dtype
    since = pd.Series(times) - pd.Timestamp("2026-01-01", tz=getattr(field.dtype, "tz", None))
    assert since.dt.total_seconds().tolist()[:3] == [0, 0.5, 0] and pd.isna(since[3])
