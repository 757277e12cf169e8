"""The holdout is the same whatever else is read, and rows that stand in both parts are counted."""

import numpy as np
import pandas as pd
import pytest

from ml_workflow.data.split import check_holdout, duplicates, is_holdout, sampled
from ml_workflow.decision.kinds import kind_of
from ml_workflow.errors import Refusal
from ml_workflow.task.definition import Task
from tests.decision.tasks import task_of

FRAME = pd.DataFrame(
    {
        "row": range(400),
        "day": pd.date_range("2026-01-01", periods=400)[::-1],
        "shop": np.arange(400) % 40,
        "part": ["Test", "train", "validation", "holdout"] * 100,
        "x": np.random.default_rng(0).normal(size=400),
        "y": [0, 1] * 200,
    }
)


def split_by(by: str, column: str | None = None) -> Task:
    return task_of("binary", split={"by": by, "column": column})


def test_a_row_stays_on_its_side_when_others_come_or_go() -> None:
    holdout = is_holdout(split_by("random"), FRAME)
    assert 0.1 < holdout.mean() < 0.3
    assert (is_holdout(split_by("random"), FRAME.iloc[::-2]) == holdout[::-2]).all()


def test_time_groups_and_given_parts_are_kept_apart() -> None:
    latest = is_holdout(split_by("time", "day"), FRAME)
    assert latest.sum() == 80 and FRAME["day"][latest].min() > FRAME["day"][~latest].max()
    by_shop = pd.Series(is_holdout(split_by("group", "shop"), FRAME)).groupby(FRAME["shop"])
    assert (by_shop.nunique() == 1).all() and by_shop.first().any()
    assert set(FRAME["part"][is_holdout(split_by("given", "part"), FRAME)]) == {"Test", "holdout"}


def test_rows_without_a_time_and_parts_too_small_are_refused() -> None:
    with pytest.raises(Refusal, match="1 of 400 rows hold no date"):
        is_holdout(split_by("time", "day"), FRAME.assign(day=FRAME["day"].where(FRAME["row"] > 0)))
    kind = kind_of(split_by("given", "part"))
    with pytest.raises(Refusal, match="The holdout has only 0 examples of any class"):
        check_holdout(kind, FRAME.assign(part="train"))


def test_a_sample_is_random_in_its_order_and_the_latest_rows_by_time() -> None:
    random = sampled(split_by("random"), FRAME, 50, seed=0)
    assert len(random) == 50 and random["row"].is_monotonic_increasing
    assert sampled(split_by("time", "day"), FRAME, 5, seed=0)["row"].tolist() == [4, 3, 2, 1, 0]
    assert sampled(split_by("random"), FRAME, 0, seed=0) is FRAME


@pytest.mark.parametrize(("repeats", "copies"), [(1, 0), (2, 200)])
def test_a_table_that_holds_its_rows_twice_is_told(repeats: int, copies: int) -> None:
    task, half = split_by("random").model_copy(update={"exclude": ["day"]}), FRAME.head(200)
    rows = pd.concat([half] * repeats, ignore_index=True).assign(row=range(200 * repeats))
    counts = duplicates(task, rows.head(200), rows.tail(200) if repeats > 1 else FRAME.tail(200))
    assert (counts["copies"], counts["units that repeat"]) == (copies, 0)
