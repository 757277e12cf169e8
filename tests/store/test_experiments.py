"""Experiments: assignment, ramps, phases, the kill switch, and the command line."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ml_workflow.errors import Refusal
from ml_workflow.experiments.lifecycle import arm_served, end, exposures, kill, ramp, start
from ml_workflow.store.committer import write
from ml_workflow.store.database import open_decisions
from ml_workflow.store.decisions import Decision, Outcome, Request, write_outcomes
from ml_workflow.store.experiments import (
    Experiment,
    count_strays,
    current_experiment,
    progress,
    read_experiment,
)
from tests.conftest import called, surroundings

UNITS = [str(unit) for unit in range(2000)]


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_decisions(
        f"sqlite:///{tmp_path}/decisions.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres")()
    )
    yield engine
    engine.dispose()


def started(
    engine: sa.Engine, name: str = "e", inclusion: float = 0.2, shadow: bool = False
) -> Experiment:
    return start(engine, name, "credit", 0.5, inclusion, shadow=shadow)


def arms(found: Experiment) -> dict[str, str]:
    """The arm assigned to each unit that takes part."""
    return {one.unit: one.arm_assigned for one in exposures(found, UNITS, 1.0) if one}


def test_an_experiment_comes_back_as_started_and_has_salts_of_its_own(engine: sa.Engine) -> None:
    first = started(engine)
    assert read_experiment(engine, "e") == current_experiment(engine, "credit") == first
    end(engine, "e")
    assert current_experiment(engine, "credit") is None
    second = started(engine, "f")
    assert len({first.inclusion_salt, first.arm_salt, second.inclusion_salt, second.arm_salt}) == 4


def test_one_experiment_a_task_and_one_name_ever(engine: sa.Engine) -> None:
    started(engine)
    with pytest.raises(Refusal, match="'e' already"):
        started(engine)
    with pytest.raises(Refusal, match="has not ended"):
        started(engine, "f")
    with pytest.raises(Refusal, match="Did you mean 'e'"):
        read_experiment(engine, "ee")


def test_a_ramp_lets_units_in_and_moves_nobody(engine: sa.Engine) -> None:
    before = arms(started(engine))
    changed, is_new = ramp(engine, "e", inclusion=0.6)
    after = arms(changed)
    assert not is_new and len(changed.phases) == 1
    assert before.items() <= after.items() and len(after) > 2 * len(before)
    with pytest.raises(Refusal, match="can only rise"):
        ramp(engine, "e", inclusion=0.1)


def test_other_weights_or_another_metric_begin_a_phase_and_keep_salts_and_exposed_units(
    engine: sa.Engine,
) -> None:
    first = started(engine, inclusion=1.0)
    stood = write(engine, [[one for one in exposures(first, UNITS, 1.0) if one]])[0]
    second, is_new = ramp(engine, "e", share=0.9)
    assert is_new and (second.inclusion_salt, second.arm_salt) == (
        first.inclusion_salt,
        first.arm_salt,
    )
    assert arms(second) != arms(first)
    assert write(engine, [[one for one in exposures(second, UNITS, 2.0) if one]])[0] == stood
    third, is_new = ramp(engine, "e", metric="profit")
    assert is_new and len(third.phases) == 3
    assert {one.phase for one in exposures(third, ["new"], 3.0) if one} == {3}


def test_a_killed_or_shadow_experiment_serves_the_current_process_and_records_the_arm(
    engine: sa.Engine,
) -> None:
    started(engine, inclusion=1.0)
    for found in (
        kill(engine, "e"),
        Experiment("s", "t", "a", "b", started_phases(engine), {}, shadow=True),
    ):
        asked = [one for one in exposures(found, UNITS, 1.0) if one]
        assert {one.arm_served for one in asked} == {"current"}
        assert {one.arm_assigned for one in asked} == {"current", "release"}
        assert arm_served(found, "release") == "current"
    with pytest.raises(Refusal, match="was killed"):
        ramp(engine, "e", inclusion=1.0)
    assert current_experiment(engine, "credit") is not None, (
        "a killed experiment goes on recording until it is ended"
    )


def started_phases(engine: sa.Engine) -> list[dict[str, object]]:
    return read_experiment(engine, "e").phases


def test_progress_counts_by_phase_and_arm_without_counting_twice(engine: sa.Engine) -> None:
    found = started(engine, inclusion=1.0)
    stood = write(engine, [[one for one in exposures(found, UNITS[:100], 1.0) if one]])[0]
    made = [
        Decision(one.unit, None, "1", 0.5, "act", 10.0 + i, "e", one.arm_served)
        for one in stood
        for i in range(2)
    ]
    write(engine, [Request(made), Request([Decision("0", None, "1", 0.5, "act", 10.0)])])
    write_outcomes(
        engine,
        [Outcome(float(i), 20.0, 20.0, made[0].id) for i in range(3)]
        + [Outcome(1.0, 20.0, 20.0, "unknown")],
    )
    rows = {(row.phase, row.arm): row for row in progress(engine, "e")}
    sizes = {arm: sum(one.arm_assigned == arm for one in stood) for arm in ("current", "release")}
    assert {arm: (rows[1, arm].units, rows[1, arm].decisions) for arm in sizes} == {
        arm: (n, 2 * n) for arm, n in sizes.items()
    }
    assert sum(row.outcomes for row in rows.values()) == 3
    assert count_strays(engine) == 1


def test_the_commands_from_start_to_end(tmp_path: Path) -> None:
    env = surroundings(tmp_path) | {"ML_WORKFLOW_DATABASE": f"sqlite:///{tmp_path}/d.db"}

    def said(*words: str, status: int = 0) -> str:
        done = called("experiment", *words, env=env)
        assert done.returncode == status and "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    assert "10% of the units take part, 50% of these get the release" in said("start", "spring")
    assert "can only rise" in said("ramp", "spring", "--inclusion", "0.05", status=2)
    assert "Phase 2 begins" in said("ramp", "spring", "--share", "0.2")
    assert "arms assigned are still recorded" in said("kill", "spring")
    assert re.search(
        r"spring of credit: killed, phase 2, inclusion 10%\nphase +arm +units +decisions +outcomes\n0 outcomes",
        said("status", "spring"),
    )
    (tmp_path / "plan.json").write_text("[1]")
    assert "no JSON object" in said(
        "start", "summer", "--plan", str(tmp_path / "plan.json"), status=2
    )
