"""What only a table can have."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml_workflow.errors import Refusal
from ml_workflow.experiments.evidence import Evidence
from ml_workflow.experiments.opening import open_evidence
from ml_workflow.experiments.plan import DAY
from ml_workflow.experiments.tally import sum_by_day
from ml_workflow.task.definition import ABTest
from tests.experiments.traffic import faults, traffic

COLUMNS = ["unit", "arm", "value", "time"]


def opened(place: Path, frame: pd.DataFrame, mapping: str = "") -> Evidence:
    """The evidence in a table of these columns."""
    frame.to_csv(place / "table.csv", index=False)
    return open_evidence(str(place / "table.csv"), ABTest(), mapping=mapping)


def test_units_in_both_arms_rows_twice_and_what_is_missing_are_told(tmp_path: Path) -> None:
    frame = traffic(200)
    frame.loc[[3, 4], "unit"] = None
    frame.loc[5, "covariate"] = np.inf
    both = pd.concat([frame, frame.head(1).assign(arm="release"), frame.tail(2)])
    said = faults(opened(tmp_path, both[[*COLUMNS, "covariate"]]))
    assert said["units in one arm"].startswith("Experiment table.csv: 1 units are in both arms")
    assert "3 units have the same row more than once" in said["units once"]
    assert "2 outcomes belong to no known unit" in said["known units"]
    assert "1 of 101 units of release have no covariate" in said["covariate"]


def test_a_unit_with_rows_on_several_days_is_one_unit(tmp_path: Path) -> None:
    frame = traffic(300, rows=3).assign(time=lambda f: f["exposed"] + DAY * (f.index % 3))
    sums = sum_by_day(opened(tmp_path, frame[COLUMNS]), 0.0)
    assert sums["units"].sum() == 300 and sums["d"].sum() == 900


@pytest.mark.parametrize(
    ("mapping", "columns", "said"),
    [
        ("user=unit", COLUMNS, "names the column 'user', which .* does not have"),
        ("unit=units", COLUMNS, "names 'units', which is no column .* Did you mean 'unit'"),
        ("unit", COLUMNS, "write theirs=ours"),
        ("", ["unit", "arm", "time"], "has no column 'value' .*: say by `mapping`"),
        ("release=current,current=other", COLUMNS, "names 'other'"),
        ("exposed=time", ["unit", "arm", "value", "exposed"], "1 of 20 rows have no time in"),
        ("arm=time", ["unit", "arm", "value"], "has no column 'arm'|cannot be read"),
    ],
)
def test_what_is_no_evidence_is_a_sentence(
    tmp_path: Path, mapping: str, columns: list[str], said: str
) -> None:
    frame = traffic(20)
    frame.loc[0, "exposed"] = None
    with pytest.raises(Refusal, match=said):
        opened(tmp_path, frame[columns], mapping)
    with pytest.raises(Refusal, match="neither a database URL nor a CSV"):
        open_evidence(str(tmp_path / "nothing.csv"), ABTest())
