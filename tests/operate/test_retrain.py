"""Retraining: what it learns from, when the challenger serves, and that every failure leaves the champion serving."""

import dataclasses
import errno
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from ml_workflow.data.joins import examples, sources
from ml_workflow.errors import Refusal
from ml_workflow.model.registry import aliases
from ml_workflow.model.release import Release
from ml_workflow.operate import retrain as room
from ml_workflow.operate.retrain import (
    alone,
    better,
    labelled,
    matured,
    renewed,
    retrain,
    with_replaced,
)
from ml_workflow.operate.simulate import MONTH, Plan, simulate
from ml_workflow.store.files import digest
from ml_workflow.task.file import read_task
from ml_workflow.task.definition import Task
from tests.conftest import ROOT, edit, newest, record, workflow
from tests.operate.conftest import Live

PLAN = Plan(months=2, decisions=600)
NOW = PLAN.begin + 2 * MONTH
CREDIT = read_task(ROOT / "tasks" / "credit.yaml")
QUICK: dict[str, dict[str, Any]] = {
    "03_poc": {"folds": 2},
    "04_scale": {"folds": 2, "time_budget": 0},
}
WORDS = ("-p", "time_budget=0", "-p", "folds=2")


def quiet(*_: object) -> None:
    """Hears of the stages and shows nothing."""


def clerk() -> Release:
    """A release that freezes the card of who is late."""
    contract = {
        "LIMIT_BAL": {"type": "integer", "nullable": False},
        "PAY_0": {"type": "integer", "nullable": False},
    }
    decide = lambda _, late: np.where(late >= 1, "act", "leave")  # noqa: E731
    return cast(
        Release,
        SimpleNamespace(
            contract=contract,
            card={"classes": ["negative", "positive"]},
            score=lambda rows: rows["PAY_0"].to_numpy(),
            decide=decide,
        ),
    )


def seen(late: np.ndarray, defaults: np.ndarray, share: float) -> pd.DataFrame:
    """What the clerk decided for customers with a limit of 100, a share left to chance, as the database gives it."""
    chance = np.random.default_rng(1)
    best = np.where(late, "act", "leave")
    action = np.where(
        chance.random(len(late)) < share, chance.choice(["act", "leave"], len(late)), best
    )
    worth = np.where(action == "act", 0.0, np.where(defaults, -10.0, 2.0))
    rows = [{"LIMIT_BAL": 100, "PAY_0": int(one)} for one in late]
    propensity = np.where(action == best, 1 - share / 2, share / 2)
    return pd.DataFrame(
        {
            "row": rows,
            "unit": [f"new {i}" for i in range(len(late))],
            "action": action,
            "worth": worth,
            "propensity": propensity,
        }
    )


def telling(task: Task) -> Task:
    """The penguins' task with amounts that tell every mistake apart."""
    matrix = {
        d: {a: 10 if d == a else -25 - i for i, a in enumerate(("Adelie", "Chinstrap", "Gentoo"))}
        for d in ("Adelie", "Chinstrap", "Gentoo")
    }
    return task.model_copy(update={"value": task.value.model_copy(update={"matrix": matrix})})


def as_it_was(live: Live) -> list[Any]:
    """What a failed retraining must not change: who serves, what was decided, and the records of runs."""
    with live.engine.connect() as connection:
        rows = [
            connection.exec_driver_sql(f"select * from {table} order by 1").all()
            for table in ("decisions", "outcomes")
        ]
    return [
        aliases("penguins")["champion"],
        rows,
        digest(Path(live.env["ML_WORKFLOW_REPORTS"]) / live.release.card["run"] / "run.json"),
    ]


def test_outcomes_that_a_decision_hides_are_told_and_not_learned_from() -> None:
    found = labelled(
        CREDIT, clerk(), seen(np.array([True, False, False]), np.array([True, False, True]), 0.0)
    )
    assert (
        list(found.rows["default_next_month"]) == [0, 1]
        and found.hiding == ["act"]
        and found.hidden == 1 / 3
    )
    assert (
        "where act was decided nobody sees what would have come: 33% of the decisions tell nothing"
        in found.warnings
    )
    assert any("--explore" in said for said in found.warnings)


@pytest.mark.parametrize("share", [0.4, 0.0])
def test_the_table_is_mixed_like_the_decisions_though_one_of_them_hides_what_comes(
    share: float,
) -> None:
    """A quarter is late. In the recent world they pay; others default in 10 of 100 cases. In the sources late ones default."""
    late = np.random.default_rng(2).random(60_000) < 0.25
    defaults = ~late & (np.random.default_rng(3).random(len(late)) < 0.1)
    known = labelled(CREDIT, clerk(), seen(late, defaults, share))
    table = renewed(CREDIT, clerk(), known, examples(CREDIT, sources(CREDIT)), 30_000)
    recent, frozen = table["customer_id"].str.startswith("new"), table["PAY_0"] >= 1
    assert (
        abs(frozen.mean() - 0.25) < 0.02
        and recent[~frozen].all()
        and len(known.warnings) == (1 if share else 2)
    )
    assert abs(table["default_next_month"][~frozen].mean() - 0.1) < 0.01
    if share:  # so many were left open by chance that the sources are not needed: all of them are there, and others in proportion
        assert (
            recent.all()
            and abs(len(table) - 12_000) < 1000
            and not table["default_next_month"][frozen].any()
        )
    else:  # the sources stand in where nobody sees what comes
        assert (
            len(table) > 28_000
            and not recent[frozen].any()
            and table["default_next_month"][frozen].mean() > 0.4
        )


def test_rows_are_not_chosen_by_what_came_of_them(live: Live) -> None:
    """A mistake costs the same for two species: learning from right decisions alone would teach that all are right."""
    simulate(live.engine, live.version, live.release, live.table, PLAN)
    assert matured(live.url, live.release.task(), live.version, live.release, NOW).rows.empty


def test_the_table_holds_recent_rows_as_they_were_and_the_sources_behind_them(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = telling(live.release.task())
    release: Release = dataclasses.replace(live.release, definition=task)
    simulate(
        live.engine, live.version, release, live.table, PLAN._replace(drift="concept", size=0.5)
    )
    known = matured(live.url, task, live.version, release, NOW)
    assert len(known.rows) == 1200 and known.warnings == []
    few = known._replace(rows=known.rows.tail(100))
    older = examples(task, sources(task))
    table = renewed(task, release, few, older, 344)
    assert (
        len(table) == 344
        and table["row"].is_unique
        and set(table["species"]) == {"Adelie", "Chinstrap", "Gentoo"}
    )
    monkeypatch.setattr(room, "ENOUGH", 100)
    assert set(renewed(task, release, few, older, 344)["row"]) == set(few.rows["row"])


def test_what_a_retraining_replaced_does_not_come_back(live: Live) -> None:
    """Its table stands behind the next one, with rows that are new in the sources."""
    task = live.release.task()
    table = examples(task, sources(task))
    assert with_replaced(task, live.release, table) is table
    files = Path(live.env["ML_WORKFLOW_REPORTS"]) / "retrained" / "files"
    files.mkdir(parents=True)
    recent, gone, kept, new = (
        table.head(50).assign(row=range(7000, 7050)),
        table["row"].head(50).astype(str),
        table.iloc[50:],
        table.tail(1).assign(row=9999),
    )
    recent.to_parquet(files / "holdout.parquet")
    kept.to_parquet(files / "dataset.parquet")
    gone.to_frame().to_parquet(files / room.REPLACED)
    retrained = dataclasses.replace(live.release, card=live.release.card | {"run": "retrained"})
    found = with_replaced(task, retrained, pd.concat([table, new]))
    assert list(found["row"]) == [*kept["row"], *recent["row"], 9999]


def test_a_challenger_needs_a_gain_that_is_surely_over_the_margin() -> None:
    gains = np.random.default_rng(0).normal(1, 5, 2000)
    assert better(gains, 0.0)[0] and not better(gains, 0.9)[0] and not better(-gains, 0.0)[0]


def test_a_challenger_that_is_not_surely_better_waits_and_the_record_says_why(live: Live) -> None:
    before = as_it_was(live)
    done = workflow(
        "retrain", "penguins", "--database", live.url, *WORDS, env=live.env, cwd=live.project
    )
    assert (
        done.returncode == 3
        and "penguins/1 serves on" in done.stdout
        and "Traceback" not in done.stderr
    ), done.stdout + done.stderr
    assert as_it_was(live) == before


def test_failures_before_learning_leave_all_as_it_was_and_say_why(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, data = as_it_was(live), live.project / "data" / "penguins.csv.gz"
    kept = data.read_bytes()

    def refused() -> str:
        with pytest.raises(Refusal) as error:
            retrain(live.url, "penguins", QUICK, quiet)
        monkeypatch.undo()
        monkeypatch.chdir(live.project)
        for name, value in live.env.items():
            monkeypatch.setenv(name, value)
        assert as_it_was(live) == before and "\n" not in str(error.value)
        return str(error.value)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    data.unlink()
    assert "penguins.csv.gz" in refused()
    data.write_bytes(kept)
    table = pd.read_csv(data)
    table.drop(columns="island").to_csv(data, index=False)
    assert "island" in refused()
    table.assign(body_mass_g="heavy").to_csv(data, index=False)
    assert "(the rule: body_mass_g is number)" in refused()
    data.write_bytes(kept)
    monkeypatch.setattr(room, "write_frame", full)
    assert "No space left on device. The champion serves on" in refused()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "The registry http://127.0.0.1:9" in refused()


def test_one_retraining_at_a_time(live: Live) -> None:
    before = as_it_was(live)
    with alone("penguins"):
        done = workflow(
            "retrain", "penguins", "--database", live.url, env=live.env, cwd=live.project
        )
    assert done.returncode == 2 and "penguins is being retrained by another process" in done.stderr
    assert as_it_was(live) == before


@pytest.mark.prove
@pytest.mark.parametrize("stage", ["00_define", "02_dataset", "04_scale"])
def test_after_a_kill_midway_the_champion_serves_and_the_next_retraining_works(
    live: Live, stage: str
) -> None:
    before = as_it_was(live)
    command = [
        sys.executable,
        "-m",
        "ml_workflow.cli",
        "retrain",
        "penguins",
        "--database",
        live.url,
        *WORDS,
    ]
    running = subprocess.Popen(
        command,
        env=live.env,
        cwd=live.project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while running.poll() is None and not begun(live, stage):
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert as_it_was(live) == before
    done = workflow(*command[3:], env=live.env, cwd=live.project)
    assert done.returncode == 3 and "penguins/1 serves on" in done.stdout, done.stdout + done.stderr


def begun(live: Live, stage: str) -> bool:
    """Whether a new run has come as far as this stage."""
    runs = [
        path.parent
        for path in Path(live.env["ML_WORKFLOW_REPORTS"]).glob("*/run.json")
        if not path.parent.is_symlink()
    ]
    return any(
        all(s["status"] in ("done", "reused") for s in record(run)["stages"] if s["name"] < stage)
        for run in runs
    )


@pytest.mark.prove
def test_a_drift_that_can_be_learned_brings_a_new_champion(live: Live) -> None:
    task = live.project / "tasks" / "penguins.yaml"
    edit(
        task,
        "Adelie: {Adelie: 10, Chinstrap: -25, Gentoo: -25}",
        "Adelie: {Adelie: 10, Chinstrap: -25, Gentoo: -26}",
    )
    edit(
        task,
        "Chinstrap: {Adelie: -25, Chinstrap: 10, Gentoo: -25}",
        "Chinstrap: {Adelie: -25, Chinstrap: 10, Gentoo: -26}",
    )
    edit(
        task,
        "Gentoo: {Adelie: -25, Chinstrap: -25, Gentoo: 10}",
        "Gentoo: {Adelie: -25, Chinstrap: -26, Gentoo: 10}",
    )
    release = dataclasses.replace(live.release, definition=read_task(task))
    simulate(
        live.engine,
        live.version,
        release,
        live.table,
        PLAN._replace(decisions=3000, drift="concept", size=0.9),
        first=1,
    )
    done = retrain(live.url, "penguins", QUICK, quiet, NOW)
    assert done.promoted and "it serves now" in done.reason, done.reason
    assert aliases("penguins")["champion"] == "2"


@pytest.mark.prove
def test_a_registry_that_goes_down_midway_leaves_a_record_that_says_so(live: Live) -> None:
    before = as_it_was(live)
    database = Path(live.env["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))

    def unplug(event: str, stage: dict[str, Any]) -> None:
        if (event, stage["name"]) == ("start", "04_scale"):
            shutil.move(database, database.with_suffix(".away"))
            database.mkdir()

    with pytest.raises(Refusal, match="The registry"):
        retrain(live.url, "penguins", QUICK, unplug)
    database.rmdir()
    shutil.move(database.with_suffix(".away"), database)
    assert as_it_was(live) == before
    assert record(newest(live.env))["outcome"] == "failed"
