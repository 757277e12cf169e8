"""Experiments in the database: one a task, one name ever, and what was counted in each."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from ml_workflow.errors import Refusal
from ml_workflow.store.decisions import Exposure, Outcome, Request, write, write_outcomes
from ml_workflow.store.experiments import (
    Experiment,
    Progress,
    add_experiment,
    change_experiment,
    count_strays,
    current_experiment,
    progress,
    read_experiment,
)
from tests.store.conftest import decided

SPRING = Experiment("spring", "credit", "in", "arm", [{"weights": {"a": 1.0}}], {"units": 3})


def test_a_task_has_one_experiment_at_a_time_and_a_name_is_used_once(engine: sa.Engine) -> None:
    add_experiment(engine, SPRING)
    assert read_experiment(engine, "spring") == current_experiment(engine, "credit") == SPRING
    for name, fault in (("spring", "'spring' already"), ("summer", "has not ended")):
        with pytest.raises(Refusal, match=fault):
            add_experiment(engine, replace(SPRING, id=name))
    ended = change_experiment(engine, "spring", lambda old: replace(old, ended=2.0))
    assert read_experiment(engine, "spring") == ended
    assert current_experiment(engine, "credit") is None
    add_experiment(engine, replace(SPRING, id="summer"))
    with pytest.raises(Refusal, match="Did you mean 'spring'"):
        read_experiment(engine, "sprin")


def test_progress_counts_by_phase_and_arm_without_counting_twice(engine: sa.Engine) -> None:
    add_experiment(engine, SPRING)
    units = {"u": ("new", 1), "v": ("new", 1), "w": ("old", 1), "x": ("new", 2)}
    write(engine, [Exposure("spring", unit, arm, arm, n, 1.0) for unit, (arm, n) in units.items()])
    own = [decided(unit, experiment="spring") for unit in ("u", "u", "w")]
    write(engine, [Request(own), Request([decided("u"), decided("elsewhere")])])
    outcomes = [Outcome(float(n), 20.0, 20.0, own[0].id) for n in range(3)]
    write_outcomes(engine, [*outcomes, Outcome(1.0, 20.0, 20.0, "unknown")])
    assert progress(engine, "spring") == [
        Progress(1, "new", units=2, decisions=2, outcomes=3),
        Progress(1, "old", units=1, decisions=1, outcomes=0),
        Progress(2, "new", units=1, decisions=0, outcomes=0),
    ]
    assert count_strays(engine) == 1
