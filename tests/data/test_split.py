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
    assert FRAME["row"][latest].tolist() == list(range(80))
    by_shop = pd.Series(is_holdout(split_by("group", "shop"), FRAME)).groupby(FRAME["shop"])
    assert by_shop.nunique().max() == 1 and by_shop.first().any()
    assert set(FRAME["part"][is_holdout(split_by("given", "part"), FRAME)]) == {"Test", "holdout"}


def test_parts_too_small_are_refused() -> None:
    kind = kind_of(split_by("given", "part"))
    with pytest.raises(Refusal, match="The holdout has only 0 examples of any class"):
        check_holdout(kind, FRAME.assign(part="train"))
    with pytest.raises(Refusal, match=r"part has only 4 examples of 1 \(400 rows in all\)"):
        check_holdout(kind, FRAME.assign(y=[0, 1, 1, 0] + [0, 0, 0, 0] * 98 + [0, 1, 1, 1]))


def test_a_sample_is_random_in_its_order_and_the_latest_rows_by_time() -> None:
    assert sampled(split_by("random"), FRAME, 50, seed=0)["row"].is_monotonic_increasing
    assert sampled(split_by("time", "day"), FRAME, 3, seed=0)["row"].tolist() == [2, 1, 0]


@pytest.mark.parametrize(("last", "copies"), [(FRAME.tail(200), 0), (FRAME.head(200), 200)])
def test_a_table_that_holds_its_rows_twice_is_told(last: pd.DataFrame, copies: int) -> None:
    task = split_by("random").model_copy(update={"exclude": ["day"]})
    counts = duplicates(task, FRAME.head(200), last)
    assert counts["copies"] == counts["units that repeat"] == copies
