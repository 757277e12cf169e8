"""Retraining: what it learns from, when the challenger serves; a failure changes nothing."""

import dataclasses
import errno
import os
import shutil
import signal
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml_workflow.data.contract import Column, Contract
from ml_workflow.data.joins import examples
from ml_workflow.decision.kinds import Kind, kind_of
from ml_workflow.errors import Refusal
from ml_workflow.model.registry import aliases
from ml_workflow.operate import retrain as room
from ml_workflow.operate.retrain import (
    better,
    feedback_of,
    lock,
    recent_feedback,
    retrain,
    training_table,
    without_replaced,
)
from ml_workflow.operate.simulate import DRIFTS
from ml_workflow.report.records import Stage
from ml_workflow.store.files import digest
from ml_workflow.task.file import read_task, write_task
from tests.conftest import ROOT, newest, record
from tests.operate.conftest import NOW, SCENARIO, Live

CREDIT = kind_of(read_task(ROOT / "tasks" / "credit.yaml"))
QUICK: dict[str, dict[str, Any]] = {
    "03_poc": {"folds": 2},
    "04_scale": {"folds": 2, "time_budget": 0},
}
WORDS = ("-p", "time_budget=0", "-p", "folds=2")


def quiet(*_: object) -> None:
    """Hears of the stages and shows nothing."""


CLERK: Any = SimpleNamespace(
    task=CREDIT.task,
    card=SimpleNamespace(run="none"),
    contract=Contract({name: Column("integer", False) for name in ("LIMIT_BAL", "PAY_0")}),
    score=lambda rows: rows["PAY_0"].to_numpy(),
    decide=lambda _, late: np.where(late >= 1, "act", "leave"),
)
"""A release that freezes the card of who is late."""


def sample(late: np.ndarray, defaults: np.ndarray, share: float) -> pd.DataFrame:
    """The clerk's decisions for customers with a limit of 100, a share of them left to chance."""
    rng, best = np.random.default_rng(1), np.where(late, "act", "leave")
    drawn = rng.random(len(late)) < share
    action = np.where(drawn, rng.choice(["act", "leave"], len(late)), best)
    return pd.DataFrame(
        {
            "row": [{"LIMIT_BAL": 100, "PAY_0": int(one)} for one in late],
            "unit": [f"new {i}" for i in range(len(late))],
            "action": action,
            "value": np.where(action == "act", 0.0, np.where(defaults, -10.0, 2.0)),
            "propensity": np.where(action == best, 1 - share / 2, share / 2),
        }
    )


def with_each_mistake_apart(kind: Kind) -> Kind:
    """The penguins' task with values by which every mistake can be told from others."""
    matrix = {
        decided: {actual: -25.0 - i for i, actual in enumerate(kind.classes)} | {decided: 10.0}
        for decided in kind.classes
    }
    value = kind.task.value.model_copy(update={"matrix": matrix})
    return kind_of(kind.task.model_copy(update={"value": value}), kind.classes)


def state(live: Live) -> list[Any]:
    """What a failed retraining must not change: who serves, what was decided, a run's record."""
    run = Path(live.env["ML_WORKFLOW_REPORTS"]) / live.release.card.run / "run.json"
    tables = [pd.read_sql_table(name, live.engine).to_csv() for name in ("decisions", "outcomes")]
    return [aliases("penguins")["champion"], tables, digest(run)]


def test_outcomes_that_a_decision_hides_are_told_and_not_learned_from() -> None:
    late, defaults = np.array([True, False, False]), np.array([True, False, True])
    feedback = feedback_of(CREDIT, CLERK, sample(late, defaults, 0.0))
    assert list(feedback.rows["default_next_month"]) == [0, 1]
    assert (feedback.hiding, feedback.hidden) == (["act"], 1 / 3)
    assert feedback.warnings[0].startswith(
        "where act was decided nobody sees what would have come: 33% of the decisions tell nothing"
    )
    assert "--explore" in feedback.warnings[1]


@pytest.mark.parametrize("share", [0.4, 0.0])
def test_the_table_is_mixed_like_the_decisions_though_one_of_them_hides_what_comes(
    share: float,
) -> None:
    """A quarter is late and pays in the recent world; others default in 10 of 100 cases.

    In the sources late ones default.
    """
    late = np.random.default_rng(2).random(60_000) < 0.25
    defaults = ~late & (np.random.default_rng(3).random(len(late)) < 0.1)
    feedback = feedback_of(CREDIT, CLERK, sample(late, defaults, share))
    table = training_table(CREDIT, CLERK, feedback, examples(CREDIT.task))
    recent, frozen = table["customer_id"].str.startswith("new"), table["PAY_0"] >= 1
    outcomes = table["default_next_month"]
    assert abs(frozen.mean() - 0.25) < 0.02 and recent[~frozen].all()
    assert len(feedback.warnings) == (1 if share else 2)
    assert abs(outcomes[~frozen].mean() - 0.1) < 0.01
    if share:  # chance left so many open that the sources are not needed: others in proportion
        assert recent.all() and abs(len(table) - 12_000) < 1000 and not outcomes[frozen].any()
    else:  # the sources stand in where nobody sees what comes
        assert len(table) > 28_000 and not recent[frozen].any()
        assert outcomes[frozen].mean() > 0.4


def test_rows_are_not_chosen_by_what_came_of_them(live: Live) -> None:
    """A mistake costs the same for two species: right decisions alone would teach that all are."""
    live.play(SCENARIO)
    kind = live.release.kind
    assert recent_feedback(live.url, kind, live.version, live.release, NOW).rows.empty


def test_the_table_holds_recent_rows_as_they_were_and_the_sources_behind_them(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = with_each_mistake_apart(live.release.kind)
    release = dataclasses.replace(live.release, kind=kind)
    changed = live._replace(release=release)
    changed.play(SCENARIO._replace(drift=DRIFTS["concept"], size=0.5))
    feedback = recent_feedback(live.url, kind, live.version, release, NOW)
    assert len(feedback.rows) == 3000 and feedback.warnings == []
    few, older = feedback._replace(rows=feedback.rows.tail(100)), examples(kind.task)
    table = training_table(kind, release, few, older)
    assert len(table) == len(older) and table["row"].is_unique
    assert set(table["species"]) == {"Adelie", "Chinstrap", "Gentoo"}
    monkeypatch.setattr(room, "ENOUGH", 100)
    assert set(training_table(kind, release, few, older)["row"]) == set(few.rows["row"])


def test_what_a_retraining_replaced_does_not_come_back(live: Live) -> None:
    """Its table stands behind the next one, with rows that are new in the sources."""
    table = examples(live.release.task)
    assert without_replaced(live.release, table) is table
    files = Path(live.env["ML_WORKFLOW_REPORTS"]) / "retrained" / "files"
    files.mkdir(parents=True)
    recent, old, new = table.head(50).assign(row=range(7000, 7050)), table[50:], table.tail(1)
    recent.to_parquet(files / "holdout.parquet")
    old.to_parquet(files / "dataset.parquet")
    table[["row"]].head(50).astype(str).to_parquet(files / room.REPLACED)
    card = dataclasses.replace(live.release.card, run="retrained")
    release = dataclasses.replace(live.release, card=card)
    kept = without_replaced(release, pd.concat([table, new.assign(row=9999)]))
    assert list(kept["row"]) == [*old["row"], *recent["row"], 9999]


def test_a_challenger_needs_a_gain_that_is_surely_over_the_margin() -> None:
    gains = np.random.default_rng(0).normal(1, 5, 2000)
    assert better(gains, 0.0)[0] and not better(gains, 0.9)[0] and not better(-gains, 0.0)[0]


def test_a_challenger_that_is_not_surely_better_waits_and_the_record_says_why(live: Live) -> None:
    before = state(live)
    done = live.called("retrain", *WORDS)
    assert done.returncode == 3 and "penguins/1 serves on" in done.stdout, done
    assert "Traceback" not in done.stderr and state(live) == before


def test_failures_before_learning_leave_all_as_it_was_and_say_why(live: Live) -> None:
    before, data = state(live), live.project / "data" / "penguins.csv.gz"
    content = data.read_bytes()

    def refusal() -> str:
        with pytest.raises(Refusal) as error:
            retrain(live.url, "penguins", QUICK, quiet)
        return str(error.value)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    data.unlink()
    assert "penguins.csv.gz" in refusal()
    data.write_bytes(content)
    table = pd.read_csv(data)
    table.drop(columns="island").to_csv(data, index=False)
    assert "island" in refusal()
    table.assign(body_mass_g="heavy").to_csv(data, index=False)
    assert "(the rule: body_mass_g is number)" in refusal()
    data.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "write_frame", full)
        assert "No space left on device. The champion serves on" in refusal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        assert "The registry http://127.0.0.1:9" in refusal()
    assert state(live) == before


def test_one_retraining_at_a_time(live: Live) -> None:
    before = state(live)
    with lock("penguins"):
        done = live.called("retrain")
    assert done.returncode == 2 and "penguins is being retrained by another process" in done.stderr
    assert state(live) == before


def die_at(name: str, event: str, stage: Stage) -> None:
    """The end of this process when a stage begins."""
    if (event, stage.name) == ("start", name):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.prove
@pytest.mark.parametrize("stage", ["00_define", "02_dataset", "04_scale"])
def test_after_a_kill_midway_the_champion_serves_and_the_next_retraining_works(
    live: Live, stage: str
) -> None:
    before, words = state(live), (live.url, "penguins", QUICK, partial(die_at, stage))
    process = get_context("spawn").Process(target=retrain, args=words)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and state(live) == before
    assert "penguins/1 serves on" in retrain(live.url, "penguins", QUICK, quiet).reason


@pytest.mark.prove
def test_a_drift_that_can_be_learned_brings_a_new_champion(live: Live) -> None:
    kind = with_each_mistake_apart(live.release.kind)
    write_task(live.project / "tasks" / "penguins.yaml", kind.task)
    changed = live._replace(release=dataclasses.replace(live.release, kind=kind))
    drifting = SCENARIO._replace(decisions=3000, drift=DRIFTS["concept"], size=0.9)
    changed.play(drifting, first=1)
    done = retrain(live.url, "penguins", QUICK, quiet, NOW)
    assert done.promoted and "it serves now" in done.reason, done.reason
    assert aliases("penguins")["champion"] == "2"


@pytest.mark.prove
def test_a_registry_that_goes_down_midway_leaves_a_record_that_says_so(live: Live) -> None:
    before = state(live)
    database = Path(live.env["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))
    away = database.with_suffix(".away")

    def unplug(event: str, stage: Stage) -> None:
        if (event, stage.name) == ("start", "04_scale"):
            shutil.move(database, away)
            database.mkdir()

    with pytest.raises(Refusal, match="The registry"):
        retrain(live.url, "penguins", QUICK, unplug)
    database.rmdir()
    shutil.move(away, database)
    assert state(live) == before
    assert record(newest(live.env))["outcome"] == "failed"
