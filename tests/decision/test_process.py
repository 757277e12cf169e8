"""Everything that decides is a process: today's, the best constant."""

import numpy as np
import pandas as pd

from ml_workflow.decision.kinds import kind_of
from ml_workflow.decision.process import current_process, recorded, usual_action
from ml_workflow.task.definition import CurrentProcess
from tests.decision.tasks import task_of


def test_a_rule_that_says_nothing_for_a_row_is_told_from_one_that_says_no() -> None:
    frame = pd.DataFrame({"amount": [5.0, 50.0, None]})
    rule = CurrentProcess(describe="by amount", decide="amount > 10")
    column = CurrentProcess(describe="by amount", column="amount")
    assert pd.isna(recorded(rule, frame)).tolist() == [False, False, True]
    assert recorded(column, frame)[:2].tolist() == [5.0, 50.0]


def test_without_a_process_the_best_constant_action_stands_in() -> None:
    frame = pd.DataFrame({"x": range(10), "y": [1] * 3 + [0] * 7})
    worth = {"act": {"positive": 10, "negative": -1}, "leave": {"positive": 0, "negative": 0}}
    process = current_process(kind_of(task_of("binary", value=worth)), frame)
    scores = process.score(frame)
    assert process.name == "constant" and np.allclose(scores, 0.3)
    assert set(process.decide(frame, scores)) == {"act"}


def test_where_a_rule_for_a_number_is_silent_the_median_stands_in() -> None:
    frame = pd.DataFrame({"x": [1.0, None, 5.0], "y": [1.0, 2.0, 9.0]})
    kind = kind_of(task_of("regression", current_process={"describe": "x", "decide": "x"}))
    process = current_process(kind, frame)
    assert usual_action(kind, frame) == 2.0
    assert process.decide(frame, process.score(frame)).tolist() == [1.0, 2.0, 5.0]
