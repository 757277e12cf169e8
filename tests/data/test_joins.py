"""More than one source: joins on the unit, histories summed up, nothing from afterwards."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml_workflow.data.joins import examples, inputs
from ml_workflow.errors import Refusal
from tests.data.shop import CUSTOMERS, PAYMENTS, SUMS, payments, task_of

TIMED: dict[str, Any] = {"aggregate": SUMS, "time": "paid"}
DECIDED = {"time": "decided"}


def test_a_history_becomes_one_row_a_unit_by_sql(tmp_path: Path) -> None:
    frame = examples(task_of(tmp_path, payments(tmp_path, aggregate=SUMS)))
    assert frame["id"].tolist() == [1, 2, 3, 4]
    assert frame["payments"].tolist() == [3, 2, 0, 0]
    assert frame["total"].tolist()[:2] == [1030, 7005] and frame["total"][2:].isna().all()


def test_what_was_known_only_later_does_not_count(tmp_path: Path) -> None:
    frame = examples(task_of(tmp_path, payments(tmp_path, **TIMED), first=DECIDED))
    assert frame["payments"].tolist() == [2, 1, 0, 0]
    assert frame["largest"].tolist()[:2] == [20, 5]


def test_units_that_repeat_each_see_their_own_past(tmp_path: Path) -> None:
    task = task_of(tmp_path, payments(tmp_path, **TIMED), first=DECIDED)
    later = CUSTOMERS.assign(decided=pd.Timestamp("2026-05-01"))
    pd.concat([CUSTOMERS, later], ignore_index=True).to_parquet(tmp_path / "customers.parquet")
    assert examples(task)["payments"].tolist() == [2, 1, 0, 0, 3, 2, 0, 0]


def test_an_outcome_known_later_is_taken_from_then_on(tmp_path: Path) -> None:
    after = {"time": "paid", "available": "after decision"}
    later = payments(tmp_path, aggregate={"spent": "sum(amount)"}, **after)
    target = {"column": "spent", "kind": "regression"}
    frame = examples(task_of(tmp_path, later, first=DECIDED, target=target))
    assert frame["spent"].tolist() == [1000, 7000] and frame.attrs["no_target"] == 2


def test_a_source_from_after_the_decision_gives_the_target_and_no_input(tmp_path: Path) -> None:
    outcomes = CUSTOMERS[["id", "left"]].assign(reason=["", "price", "", "moved"])
    outcomes.to_csv(tmp_path / "after.csv", index=False)
    after = {"name": "after", "uri": str(tmp_path / "after.csv"), "available": "after decision"}
    task = task_of(tmp_path, after)
    CUSTOMERS.drop(columns="left").to_parquet(tmp_path / "customers.parquet")
    frame = examples(task)
    assert frame["left"].tolist() == [0, 1, 0, 1]
    assert "reason" not in frame and "left" not in inputs(task, frame)


def test_a_column_to_exclude_that_the_table_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"exclude\[0\] is 'agee', .*'age'"):
        examples(task_of(tmp_path, exclude=["agee"]))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, "several become one"),
        ({"aggregate": {"x": "sum(amout)"}}, "'amout'.*amount"),
        ({"aggregate": {"x": "(select 1)"}}, "subquery is not allowed"),
        ({"aggregate": {"x": "sum(amount) over ()"}}, "window"),
        ({"aggregate": {"x": "getenv('HOME')"}}, "not allowed|cannot be computed"),
        ({"aggregate": "no_such_function"}, "02_dataset exports no such function"),
        (
            {"available": "after decision", "aggregate": {"x": "sum(amount)"}},
            "known only after the decision",
        ),
    ],
)
def test_a_source_that_does_not_fit_is_refused_in_a_sentence(
    source: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match=words):
        examples(task_of(tmp_path, payments(tmp_path, **source)))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"id": PAYMENTS["id"].map("c{}".format)}, "numbers in one source and text in another"),
        ({"paid": "soon"}, "'paid' holds no date in 6 of 6 rows"),
    ],
)
def test_keys_and_times_that_do_not_fit_are_refused(
    broken: dict[str, Any], words: str, tmp_path: Path
) -> None:
    task = task_of(tmp_path, payments(tmp_path, **TIMED), first=DECIDED)
    PAYMENTS.assign(**broken).to_parquet(tmp_path / "payments.parquet")
    with pytest.raises(Refusal, match=words):
        examples(task)
