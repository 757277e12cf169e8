"""Experiments as they run: who is in, ramps, phases, the kill switch, and the commands."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from ml_workflow.experiments.lifecycle import end, exposures, ramp, start
from ml_workflow.store.database import new_decisions
from ml_workflow.store.decisions import Exposure, write
from ml_workflow.store.experiments import Experiment
from tests.conftest import called, surroundings

UNITS = [str(unit) for unit in range(2000)]


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    return new_decisions(tmp_path / "decisions.db")


def started(engine: sa.Engine, name: str = "e", inclusion: float = 1.0) -> Experiment:
    return start(engine, name, "credit", 0.5, inclusion)


def exposed(experiment: Experiment) -> list[Exposure]:
    """The exposures of the units that take part."""
    return [one for one in exposures(experiment, UNITS, 1.0) if one]


def arms(experiment: Experiment) -> dict[str, str]:
    """The arm assigned to each unit that takes part."""
    return {one.unit: one.arm_assigned for one in exposed(experiment)}


def test_each_experiment_has_salts_of_its_own(engine: sa.Engine) -> None:
    first, _ = started(engine), end(engine, "e")
    second = started(engine, "f")
    assert len({first.inclusion_salt, first.arm_salt, second.inclusion_salt, second.arm_salt}) == 4


def test_a_ramp_lets_units_in_and_moves_nobody(engine: sa.Engine) -> None:
    before = arms(started(engine, inclusion=0.2))
    changed, is_new = ramp(engine, "e", inclusion=0.6)
    after = arms(changed)
    assert not is_new and len(changed.phases) == 1
    assert before.items() <= after.items()
    assert [len(before) / 2000, len(after) / 2000] == pytest.approx([0.2, 0.6], abs=0.06)


def test_other_weights_or_another_metric_begin_a_phase_and_keep_salts_and_exposed_units(
    engine: sa.Engine,
) -> None:
    first = started(engine)
    standing = write(engine, exposed(first))
    second, is_new = ramp(engine, "e", share=0.9)
    assert is_new and arms(second) != arms(first)
    assert second.inclusion_salt == first.inclusion_salt and second.arm_salt == first.arm_salt
    assert write(engine, exposed(second)) == standing
    third, is_new = ramp(engine, "e", metric="profit")
    assert is_new and {one.phase for one in exposed(third)} == {len(third.phases)} == {3}


def test_the_commands_from_start_to_end(tmp_path: Path) -> None:
    env = surroundings(tmp_path) | {"ML_WORKFLOW_DATABASE": f"sqlite:///{tmp_path}/d.db"}

    def output(*words: str, status: int = 0) -> str:
        done = called("experiment", *words, env=env)
        assert done.returncode == status and "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    assert "10% of the units take part, 50% of these get the release" in output("start", "spring")
    assert "can only rise" in output("ramp", "spring", "--inclusion", "0.05", status=2)
    assert "Phase 2 begins" in output("ramp", "spring", "--share", "0.2")
    assert "arms assigned are still recorded" in output("kill", "spring")
    assert "was killed" in output("ramp", "spring", "--inclusion", "1", status=2)
    assert re.search(
        r"spring of credit: killed, phase 2, inclusion 10%\n"
        r"phase +arm +units +decisions +outcomes\n0 outcomes",
        output("status", "spring"),
    )
    plan = tmp_path / "plan.json"
    plan.write_text("[1]")
    assert "no JSON object" in output("start", "summer", "--plan", str(plan), status=2)
