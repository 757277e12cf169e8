"""A sound experiment passes every check, and each fault is told with its counts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml_workflow.experiments.evidence import Phase
from ml_workflow.experiments.health import check_health, departure, notes
from ml_workflow.experiments.opening import open_evidence
from ml_workflow.experiments.plan import DAY, Plan, metric_name
from ml_workflow.experiments.tally import count_evidence
from ml_workflow.task.definition import ABTest, Task
from tests.experiments.conftest import Store
from tests.experiments.traffic import NOW, WEIGHTS, faults, traffic


def test_a_sound_experiment_passes_every_check(store: Store) -> None:
    assert faults(store(traffic())) == {}


def changed(column: str, rows: int, value: Any) -> pd.DataFrame:
    """Units of which the first ones, of both arms, have another value."""
    frame = traffic().astype({column: object})
    frame.loc[: rows - 1, column] = value
    return frame


def without(rows: slice) -> pd.DataFrame:
    """Units without some of the release's."""
    frame = traffic()
    return frame.drop(frame.index[frame["arm"] == "release"][rows])


DAYS = {"no time yet": 60, "slow outcomes": 1}
FRAMES: dict[str, tuple[Callable[[], pd.DataFrame], str, str]] = {
    "lost units": (
        lambda: without(slice(200)),
        "sample ratio",
        "current 1,000 (50% planned), release 800 (50% planned)",
    ),
    "outcomes before exposure": (
        lambda: changed("time", 3, traffic()["exposed"].min() - 60),
        "exposure first",
        "2 of 1,000 units of current and 1 of 1,000 units of release have an outcome from before",
    ),
    "infinite worth": (
        lambda: changed("value", 2, np.inf),
        "finite metric",
        "1 of 1,000 units of current and 1 of 1,000 units of release have a worth that is missing",
    ),
    "constant worth": (
        lambda: traffic().assign(value=3.0),
        "metric varies",
        "zero variance, it is 3 for all 1,000 units of current and 1,000 of release",
    ),
    "missing covariate": (
        lambda: changed("covariate", 5, None),
        "covariate",
        "3 of 1,000 units of current and 2 of 1,000 units of release have no covariate",
    ),
    "covariate by arm": (
        lambda: traffic().assign(covariate=lambda f: f["covariate"] + 9 * (f["arm"] == "release")),
        "covariate",
        "must be known before the exposure",
    ),
    "no time yet": (
        traffic,
        "ripe units",
        "only 0 of 1,000 units of current are ripe, as outcomes take 60 days and 30.0 have passed: "
        "run again after 2027-03-",
    ),
    "one unit": (
        lambda: without(slice(1, None)),
        "ripe units",
        "only 1 of 1 units of release",
    ),
    "slow outcomes": (
        lambda: traffic(20_000),
        "outcomes in the window",
        "set it to 4 days",
    ),
    "heavy tail": (
        lambda: changed("value", 1, 1e6),
        "tails",
        "too few for the bounds to hold",
    ),
}


@pytest.mark.parametrize("fault", FRAMES)
def test_a_fault_is_told_with_its_counts(store: Store, fault: str) -> None:
    frame, check, sentence = FRAMES[fault]
    assert sentence in faults(store(frame()), DAYS.get(fault, 7))[check]


def test_missing_outcomes_and_outcomes_of_unknown_units_are_told(
    url: str, change: Callable[[str], None]
) -> None:
    change(
        "DELETE FROM outcomes WHERE decision IN "
        "(SELECT id FROM decisions WHERE version = 'release')"
    )
    change("INSERT INTO strays VALUES ('k', 'nobody''s', NULL, 1.0, 0.0, 0.0)")
    evidence = open_evidence(url, ABTest(), now=NOW)
    assert count_evidence(evidence, 7 * DAY).sums["units"].sum() == 200, "they count as nothing"
    said = faults(evidence)
    assert (
        "0 of 100 ripe units of current and 100 of 100 ripe units of release have no outcome"
        in said["outcomes in both arms"]
    )
    strays = "Experiment blue-button: 1 outcomes belong to no known unit or decision"
    assert said["known units"].startswith(strays)


@pytest.mark.parametrize(
    "other",
    [
        "arm_salt = 'c'",
        "inclusion_salt = 'c'",
        """phases = '[{"weights": {"current": 0.8, "release": 0.2}}]'""",
    ],
)
def test_an_experiment_changed_midway_is_told(
    url: str, change: Callable[[str], None], other: str
) -> None:
    assert departure(open_evidence(url, ABTest(), now=NOW), "money") == ""
    change(f"UPDATE experiments SET {other}")
    said = departure(open_evidence(url, ABTest(), now=NOW), "money")
    assert "its salts, weights or plan were changed" in said


def test_another_metric_other_weights_and_a_shadow_are_told(store: Store) -> None:
    evidence = replace(store(traffic(200)), plan=Plan(metric="money"))
    assert "for the metric 'money', the task now says 'clicks'" in departure(evidence, "clicks")
    assert "no planned number of units" in notes(count_evidence(evidence, DAY))[0]
    shadow = replace(evidence, is_shadow=True)
    assert "runs in shadow" in departure(shadow, "money") and not departure(shadow, "money", True)
    phases = [Phase(WEIGHTS), Phase({"current": 0.8, "release": 0.2})]
    moved = replace(evidence, plan=Plan(units=300), phases=phases)
    assert notes(count_evidence(moved, DAY)) == [
        f"Experiment {evidence.name} has other weights from phase 2 on: "
        "arms are compared within phases."
    ]


def test_more_units_than_planned_are_told(store: Store, task: Task) -> None:
    plan = Plan(metric=metric_name(task), units=150)
    evidence = replace(store(traffic(200)), plan=plan, name="blue-button")
    check = check_health(task, count_evidence(evidence, DAY))[-1]
    assert check.passed and check.said == (
        "Experiment blue-button: 200 units are more than the 150 planned, "
        "the bounds are now those of a sequence."
    )
