"""Simulated traffic: in a place of its own, the same for the same seed, with the drift given."""

import os
from pathlib import Path

import pandas as pd
import pytest

from ml_workflow.errors import Refusal
from ml_workflow.model.registry import versions
from ml_workflow.operate.simulate import DRIFTS, Arrivals, Scenario, drift_named
from tests.conftest import called
from tests.operate.conftest import Live

SCENARIO = Scenario(pd.DataFrame(), months=4, decisions=500, size=0.5)


def test_the_command_says_when_the_drift_was_found_and_touches_nothing_real(live: Live) -> None:
    reports, registry = Path(live.env["ML_WORKFLOW_REPORTS"]), versions("penguins")
    before = sorted(os.listdir(reports))
    words = ("penguins", "--drift", "broken", "--months", "4", "--size", "0.8")
    done = called("simulate", *words, env=live.env, cwd=live.project)
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["month", "1", "2", "3", "4", "The"]
    assert lines[-1] == "The drift was found in month 3, when its strength was 0.8."
    assert lines[1].endswith("nothing") and lines[2].endswith("nothing")
    assert sorted(os.listdir(reports)) == before and versions("penguins") == registry
    assert not (live.project / "var" / "decisions.db").exists()
    assert (live.project / "var" / "simulated" / "penguins" / "decisions.db").exists()


def arrivals(live: Live, drift: str, month: int, seed: int = 0) -> Arrivals:
    """A month's arrivals with a drift."""
    scenario = SCENARIO._replace(table=live.table, drift=drift_named(drift), seed=seed)
    return scenario.arrivals(live.release, month)


def test_a_month_is_the_same_for_the_same_seed(live: Live) -> None:
    one, again, other = (arrivals(live, "covariate", 2, seed).rows for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    assert not one.equals(other)


def test_each_drift_moves_what_it_is_named_after(live: Live) -> None:
    column = live.release.contract.numeric[0]
    rows, outcomes = arrivals(live, "none", 3)
    for drift in ("covariate", "broken"):
        moved, same = arrivals(live, drift, 3)
        assert not moved[column].equals(rows[column]) and (same == outcomes).all()
        assert moved.drop(columns=column).equals(rows.drop(columns=column))
    same_rows, turned = arrivals(live, "concept", 3)
    assert same_rows.equals(rows)
    assert (turned != outcomes).mean() == pytest.approx(0.5, abs=0.02)
    begin = [arrivals(live, drift, 0).outcomes.tolist() for drift in ("concept", "none")]
    assert begin[0] == begin[1]


def test_a_season_comes_back_and_a_drift_that_is_not_known_is_refused() -> None:
    scenario = SCENARIO._replace(drift=DRIFTS["seasonal"], size=1.0)
    assert [round(scenario.strength(month), 2) for month in (0, 3, 6, 9)] == [0, 1, 0, -1]
    with pytest.raises(Refusal, match="'sideways': give none, covariate"):
        drift_named("sideways")


@pytest.mark.prove
def test_retraining_is_told_month_by_month_and_the_real_champion_stays(live: Live) -> None:
    words = ("penguins", "--drift", "covariate", "--months", "3", "--size", "2", "--retrain")
    quick = ("-p", "time_budget=0", "-p", "folds=2")
    done = called("simulate", *words, *quick, env=live.env, cwd=live.project)
    assert done.returncode == 0 and "serves" in done.stdout, done
    assert [version.number for version in versions("penguins")] == ["1"]
