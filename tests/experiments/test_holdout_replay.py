"""A replay deals the holdout as the plan says."""

import pandas as pd
import pytest

from ml_workflow.experiments.holdout_replay import deal_holdout
from ml_workflow.experiments.plan import Plan
from ml_workflow.task.definition import Task

ROWS = 1_000
SCORES = pd.DataFrame(
    {"unit": range(ROWS), "current_decision": "Adelie", "release_decision": "Gentoo"}
)
WORTH = pd.DataFrame({"current": 1.0, "release": 2.0, "expected": 1.5}, index=range(ROWS))


@pytest.mark.parametrize("aa", [False, True])
def test_units_are_decided_by_their_arm_and_in_an_aa_test_by_the_current_process(
    aa: bool, task: Task
) -> None:
    replay = deal_holdout(task, SCORES, WORTH, Plan(share=0.2, units=300), aa=aa)
    decisions, outcomes = replay.tables["decisions"], replay.tables["outcomes"]
    is_release = decisions["arm"] == "release"
    assert is_release.mean() == pytest.approx(0.2, abs=0.05)
    by_release = is_release & (not aa)
    assert ((decisions["action"] == "Gentoo") == by_release).all()
    assert (outcomes["value"] == 1 + by_release).all()
    assert outcomes["arrival_time"].max() < replay.end and not replay.abtest.guardrails
    assert replay.tables["experiments"]["plan"][0]["units"] == 300
