"""A row of the API has the faults that the contract finds in a table, and makes the same frame."""

import json
from typing import Any

import pandas as pd
import pytest

from ml_workflow.data.columns import ABSENT, Column
from ml_workflow.serve.rows import Breach, Field, Row, as_rows
from tests.serve.conftest import Home

VALUES = [None, "", "5", "Biscoe", "2020-02-29", -1, 5.5, 1e300, True, ABSENT]


@pytest.mark.parametrize("value", VALUES)
def test_a_row_has_the_faults_that_its_table_has(home: Home, row: Row, value: Any) -> None:
    release, schema = home.live.model.release, home.live.model.rows
    for name in row:
        wrong = {**row, name: value}
        if value is ABSENT:
            del wrong[name]
        table = release.contract.breaches(pd.DataFrame([wrong]))
        faults = set(zip(table["column"], table["rule"], strict=True))
        assert {breach[1:] for breach in schema.breaches([wrong])} == faults, wrong
        read = schema.read(json.dumps([wrong | {"more": 1}]).encode())
        assert read in ([wrong], None) and (read is None or not faults)


def test_a_column_that_only_the_current_process_names_may_be_left_out(
    homes: dict[str, Home],
) -> None:
    schema, (row,) = homes["masses"].live.model.rows, as_rows(homes["masses"].inputs.head(1))
    fee = schema.fields[-1]
    assert (fee.name, fee.required, fee.example, row.pop("fee")) == ("fee", False, 1.5, 1.5)
    assert list(schema.breaches([row])) == []
    assert list(schema.breaches([row | {"fee": "much"}])) == [Breach(0, "fee", "is number")]


def test_no_value_of_a_private_column_is_shown(homes: dict[str, Home]) -> None:
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
