"""A plan says what it follows from, keeps its keys, and is bound to its experiment."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml_workflow.errors import Refusal
from ml_workflow.experiments.plan import (
    Plan,
    compare_shares,
    plan_experiment,
    plan_hash,
    read_plan,
    worth_on_holdout,
)
from ml_workflow.task.definition import Task

KEYS = "metric looks sides share known_after_days effect deviation variance_left units days"


@pytest.fixture
def worth() -> pd.DataFrame:
    g = np.random.default_rng(0)
    expected = g.normal(5, 1, 4_000)
    current = expected + g.normal(size=4_000)
    return pd.DataFrame({"current": current, "release": current + 1, "expected": expected})


def test_a_plan_has_the_power_it_promises(task: Task, worth: pd.DataFrame) -> None:
    plan = plan_experiment(task, worth, 0.5)
    assert plan.units and plan.days and plan.variance_left == pytest.approx(0.5, abs=0.05)
    assert plan.power([plan.units, plan.units / 2]) == pytest.approx([0.8, 0.5], abs=0.05)
    shares = compare_shares(task, worth)
    assert shares.loc[0.5, "units"] == plan.units < shares.loc[0.1, "units"]
    with pytest.raises(Refusal, match="The share is 1"):
        plan_experiment(task, worth, 1)


def test_no_effect_has_no_units(task: Task, worth: pd.DataFrame) -> None:
    value = task.value.model_copy(update={"run_cost_per_month": 0.0})
    task = task.model_copy(update={"value": value})
    plan = plan_experiment(task, worth.assign(release=worth["current"]), 0.5)
    assert (plan.units, plan.days, plan.power([10.0, 20.0]).tolist()) == (None, None, [0, 0])


def test_a_plan_keeps_its_keys_and_older_ones_are_read(tmp_path: Path) -> None:
    plan = Plan(metric="money", sides=1, units=300)
    assert " ".join(plan.as_json()) == KEYS and Plan.from_json(plan.as_json()) == plan
    old = {"units": 300, "metric": "money", "hash": "x", "more": 1}
    (tmp_path / "plan.json").write_text(json.dumps(old))
    assert read_plan(tmp_path / "plan.json") == replace(plan, sides=None)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(Refusal, match="cannot be read as JSON"):
        read_plan(tmp_path / "plan.json")


def test_a_plan_is_bound_to_salts_and_weights_whatever_keys_it_has() -> None:
    weights, salts = {"current": 0.5, "release": 0.5}, {"arm_salt": "a"}
    bound = Plan(units=300).bound_to(salts, weights)
    assert bound["hash"] == plan_hash(bound, salts, weights)
    assert bound["hash"] != plan_hash(bound, {"arm_salt": "b"}, weights)
    # The hash of a plan stored before stays what it was.
    assert plan_hash({"units": 300, "hash": "x"}, salts, weights).startswith("95f0e08bb0a52405")


def test_the_worth_on_the_holdout_is_that_of_each_process_and_what_was_expected(
    task: Task,
) -> None:
    holdout = pd.DataFrame({"species": ["Adelie", "Gentoo"]})
    scores = pd.DataFrame(
        {
            "outcome": ["Adelie", "Gentoo"],
            "current_value": [1, 0],
            "release_value": [1, 1],
            "release_score_Adelie": [0.8, 0.1],
            "release_score_Chinstrap": [0.1, 0.0],
            "release_score_Gentoo": [0.1, 0.9],
        }
    )
    worth = worth_on_holdout(task, holdout, scores)
    assert worth[["current", "release"]].to_numpy().tolist() == [[1, 1], [0, 1]]
    assert worth["expected"].tolist() == pytest.approx([0.8 * 10 - 0.2 * 25, 0.9 * 10 - 0.1 * 25])
