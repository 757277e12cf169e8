"""Development and holdout are told apart where the world moved between them."""

from pathlib import Path

from ml_workflow.data.joins import examples
from ml_workflow.data.split import is_holdout
from ml_workflow.model.drift import drift_between_parts
from tests.model.real_tables import drafted, table


def test_parts_that_differ_are_told_apart_and_the_column_is_named(tmp_path: Path) -> None:
    task = drafted(*table("breast_cancer"), tmp_path)
    rows = examples(task)
    holdout = is_holdout(task, rows)
    development, last = rows[~holdout], rows[holdout]
    assert abs(drift_between_parts(task, development, last, 0)[0] - 0.5) < 0.1
    moved = last.assign(**{"mean area": last["mean area"] * 3})
    area, column = drift_between_parts(task, development, moved, 0)
    assert area > 0.8 and column == "mean area"
