"""Simulated traffic: in a place of its own, the same for the same seed, and with the drift that was asked for."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml_workflow.errors import Refusal
from ml_workflow.model.registry import versions
from ml_workflow.operate.simulate import Plan, drawn, strength
from tests.conftest import workflow
from tests.operate.conftest import Live

PLAN = Plan(months=4, decisions=500)


def test_the_command_says_when_the_drift_was_found_and_touches_nothing_real(live: Live) -> None:
    reports, registry = Path(live.env["ML_WORKFLOW_REPORTS"]), versions("penguins")
    before = sorted(os.listdir(reports))
    done = workflow(
        "simulate",
        "penguins",
        "--drift",
        "broken",
        "--months",
        "4",
        "--size",
        "0.8",
        env=live.env,
        cwd=live.project,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["month", "1", "2", "3", "4", "The"]
    assert lines[-1] == "The drift was found in month 3, when its strength was 0.8."
    assert lines[1].endswith("nothing") and lines[2].endswith("nothing")
    assert sorted(os.listdir(reports)) == before and versions("penguins") == registry
    assert not (live.project / "var" / "decisions.db").exists()
    assert (live.project / "var" / "simulated" / "penguins" / "decisions.db").exists()


def test_a_month_is_the_same_for_the_same_seed(live: Live) -> None:
    plan = PLAN._replace(drift="covariate")
    one, again, other = (drawn(live.release, live.table, plan, seed, 2) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one.rows, again.rows)
    assert np.array_equal(one.times, again.times) and not one.rows.equals(other.rows)


def test_each_drift_moves_what_it_is_named_after(live: Live) -> None:
    column = next(
        c for c, rule in live.release.contract.items() if rule["type"] in ("integer", "number")
    )

    def month(drift: str, number: int) -> tuple[pd.DataFrame, np.ndarray]:
        found = drawn(live.release, live.table, PLAN._replace(drift=drift, size=0.5), 0, number)
        return found.rows, found.truth

    rows, truth = month("none", 3)
    for drift in ("covariate", "broken"):
        moved, same = month(drift, 3)
        assert (
            not moved[column].equals(rows[column])
            and moved.drop(columns=column).equals(rows.drop(columns=column))
            and (same == truth).all()
        )
    same_rows, turned = month("concept", 3)
    assert same_rows.equals(rows) and (turned != truth).mean() == pytest.approx(0.5, abs=0.02)
    assert month("concept", 0)[1].tolist() == month("none", 0)[1].tolist()
    assert [round(strength(PLAN._replace(drift="seasonal"), m), 2) for m in (0, 3, 6, 9)] == [
        0,
        1,
        0,
        -1,
    ]
    with pytest.raises(Refusal, match="'sideways': give none, covariate"):
        month("sideways", 0)


@pytest.mark.prove
def test_retraining_is_told_month_by_month_and_the_real_champion_stays(live: Live) -> None:
    done = workflow(
        "simulate",
        "penguins",
        "--drift",
        "covariate",
        "--months",
        "3",
        "--size",
        "2",
        "--retrain",
        "-p",
        "time_budget=0",
        "-p",
        "folds=2",
        env=live.env,
        cwd=live.project,
    )
    assert done.returncode == 0 and "serves" in done.stdout, done.stdout + done.stderr
    assert [v.number for v in versions("penguins")] == ["1"]
