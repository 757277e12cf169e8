"""Folds keep time and groups apart, and a half of them is the later one."""

import numpy as np
import pandas as pd
import pytest

from ml_workflow.decision.kinds import kind_of
from ml_workflow.errors import Refusal
from ml_workflow.model.fitting import folds_of, halved
from tests.decision.tasks import task_of

FRAME = pd.DataFrame({"y": np.arange(24) % 2, "when": np.arange(24)[::-1]})
FRAME["group"] = FRAME.index // 4


def test_folds_go_forward_in_time_keep_groups_whole_and_classes_even() -> None:
    by_time = kind_of(task_of("binary", split={"by": "time", "column": "when"}))
    for fit, test in folds_of(by_time, FRAME, 3, 0):
        assert FRAME["when"][fit].max() < FRAME["when"][test].min()
    by_group = kind_of(task_of("binary", split={"by": "group", "column": "group"}))
    for fit, test in folds_of(by_group, FRAME, 3, 0):
        assert not set(FRAME["group"][fit]) & set(FRAME["group"][test])
    kind = kind_of(task_of("binary"))
    assert all(FRAME["y"][test].mean() == 0.5 for _, test in folds_of(kind, FRAME, 3, 0))
    with pytest.raises(Refusal, match="The parameter folds is 1: give at least 2"):
        folds_of(kind, FRAME, 1, 0)


def test_half_the_data_is_the_later_half_in_time_order() -> None:
    folds = [(np.arange(10), np.arange(10, 12))]
    later = halved(task_of("binary", split={"by": "time", "column": "when"}), folds, 0)
    assert list(later[0][0]) == [5, 6, 7, 8, 9]
    half, test = halved(task_of("binary"), folds, 0)[0]
    assert len(half) == 5 and list(test) == [10, 11]
