"""Models are judged on the same rows, and a step of the ledger is kept where the metric fell."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from ml_workflow.decision.kinds import kind_of
from ml_workflow.decision.process import constant_process
from ml_workflow.model.fitting import folds_of, judged_rows
from ml_workflow.model.judging import Trial, judge, judge_process, ledger, trial
from tests.decision.tasks import task_of

FRAME = pd.DataFrame({"x": np.linspace(-1, 1, 60)}).assign(
    y=lambda frame: (frame["x"] + np.sin(frame.index * 7) > 0).astype(int), when=range(60)
)


def test_a_model_is_judged_on_rows_it_has_not_seen_as_its_scores_are() -> None:
    kind = kind_of(task_of("binary", split={"by": "time", "column": "when"}))
    folds = folds_of(kind, FRAME, 3, 0)
    rows = judged_rows(folds)
    tried = judge(kind, FRAME, FRAME[["x"]], LogisticRegression(), folds)
    again = trial(kind, FRAME, tried.scores, rows)
    assert np.isnan(tried.scores[:15]).all() and list(rows) == list(range(15, 60))
    assert len(tried.earned) == len(tried.actions) == 45
    assert list(again.actions) == list(tried.actions) and again.metrics == tried.metrics


@pytest.mark.parametrize(("losses", "kept"), [([3, 2, 2.5, 1], [1, 1, 0, 1]), ([1, 1], [1, 0])])
def test_only_what_improves_on_the_best_before_is_kept(
    losses: list[float], kept: list[int]
) -> None:
    kind, earned = kind_of(task_of("binary")), np.arange(5.0)
    trials = {
        str(number): Trial(earned, earned, earned, {"log_loss": loss})
        for number, loss in enumerate(losses)
    }
    table = ledger(kind, trials, earned - 1)
    assert [word == "kept" for word in table["kept"]] == [bool(one) for one in kept]
    assert list(table)[:3] == ["change", "seconds", "log_loss"]
    assert (table["gain"] == 1000).all() and table.index.name == "step"


@pytest.mark.parametrize("costs", [{}, {"over": 1.0, "under": 9.0}])
def test_a_process_is_judged_by_its_own_decisions(costs: dict[str, float]) -> None:
    "A constant guess is not moved by what errors cost: it is what it is."
    task = task_of("regression", value=costs) if costs else task_of("regression")
    kind = kind_of(task)
    rows = np.arange(15, 60)
    tried = judge_process(kind, FRAME, constant_process(kind, FRAME), rows)
    assert len(set(tried.actions)) == 1 and len(tried.earned) == len(rows)
    assert list(tried.scores[rows]) == list(tried.actions)
