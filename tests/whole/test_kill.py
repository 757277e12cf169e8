"""kill -9 at any moment leaves a record that is true, no process, and a run that goes on to the same figures."""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from ml_workflow.store.run import STAGES
from tests.conftest import ROOT, newest, record, surroundings, workflow
from tests.run.test_sweep import processes_of

WORDS = ("run", "penguins", "-p", "time_budget=0", "-p", "folds=2", "--until")
VICTIMS = ("runner", "kernel", "warm parent")


class Undisturbed:
    """A run that nobody kills: the command, its seconds and what its stages find."""

    def __init__(self, folder: Path, until: str) -> None:
        self.words = (*WORDS, until)
        env, began = surroundings(folder), time.perf_counter()
        done = workflow(*self.words, env=env)
        assert done.returncode in (0, 3), done.stderr
        self.seconds = time.perf_counter() - began
        self.verdicts = verdicts(record(newest(env)))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("short"), STAGES[2])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("whole"), STAGES[-1])


def verdicts(run: dict[str, Any]) -> list[Any]:
    """What each stage found."""
    return [stage.get("verdict") for stage in run["stages"]]


def candidates(runner: psutil.Process, victim: str) -> list[psutil.Process]:
    """The processes of this kind that work for the runner now: it starts the warm parent, which forks the kernels."""
    if victim == "runner":
        return [runner]
    parents = [p for p in runner.children() if "warm" in " ".join(p.cmdline())]
    return (
        parents
        if victim == "warm parent"
        else [child for parent in parents for child in parent.children()]
    )


def kill_one(
    started: subprocess.Popen[str], victim: str, after: float, choice: random.Random
) -> None:
    """Kill one such process after so many seconds, or as soon as there is one."""
    time.sleep(after)
    while started.poll() is None:
        with suppress(psutil.Error):
            if found := candidates(psutil.Process(started.pid), victim):
                choice.choice(found).kill()
                return
        time.sleep(0.01)


def assert_true(folder: Path) -> None:
    """What the record says is done is there, whole; what is not done is not claimed."""
    run = record(folder)
    for stage in run["stages"]:
        assert stage["status"] in ("done", "reused", "failed", "stopped", "pending")
        if stage["status"] in ("done", "reused", "stopped"):
            assert (
                stage["verdict"]
                and json.loads((folder / f"{stage['name']}.ipynb").read_text())["cells"]
            )
            assert stage["made"] and all(
                (folder / "files" / name).exists() for name in stage["made"]
            )
        else:
            assert "verdict" not in stage and "made" not in stage
        if stage["status"] == "failed":
            assert run["outcome"] == "failed" and stage["error"]


def survive(victim: str, seed: int, folder: Path, undisturbed: Undisturbed) -> None:
    """Kill at a random moment, look at what is left, and go on."""
    env, choice = surroundings(folder), random.Random(f"{victim} {seed}")
    started = subprocess.Popen(
        [sys.executable, "-m", "ml_workflow.cli", *undisturbed.words],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    kill_one(started, victim, choice.uniform(0, undisturbed.seconds), choice)
    said = started.communicate(timeout=120)[1]
    assert "Traceback" not in said and processes_of(env) == [], said
    if victim != "runner" and started.returncode not in (0, 3):
        assert (
            started.returncode == 1
            and len(said.strip().splitlines()) == 1
            and "the kernel ended" in said
        ), said
    before = next(
        (
            record(path.parent)
            for path in Path(env["ML_WORKFLOW_REPORTS"]).glob("penguins-*/run.json")
        ),
        None,
    )
    if before:
        assert_true(newest(env))
    again = workflow(*undisturbed.words, env=env)
    assert again.returncode in (0, 3), again.stderr
    after = record(newest(env))
    assert_true(newest(env))
    assert verdicts(after) == undisturbed.verdicts
    assert all(
        (newest(env) / f"{stage}.html").exists()
        for stage in STAGES
        if stage <= undisturbed.words[-1]
    )
    for old, new in zip(before["stages"] if before else [], after["stages"], strict=False):
        assert old["status"] != "done" or new["status"] == "reused"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="warm kernels need fork")
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_costs_only_the_stage_under_way(
    victim: str, seed: int, tmp_path: Path, short: Undisturbed
) -> None:
    survive(victim, seed, tmp_path, short)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(2, 20))
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_at_twenty_moments_costs_only_the_stage_under_way(
    victim: str, seed: int, tmp_path: Path, whole: Undisturbed
) -> None:
    survive(victim, seed, tmp_path, whole)


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path: Path, short: Undisturbed) -> None:
    env = surroundings(tmp_path)
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "ml_workflow.cli", *short.words],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=200) for process in started]
    assert [process.returncode in (0, 3) for process in started] == [True, True], said
    found = [path.parent for path in Path(env["ML_WORKFLOW_REPORTS"]).glob("penguins-*/run.json")]
    assert len(found) == 2
    for folder in found:
        assert_true(folder)
        assert verdicts(record(folder)) == short.verdicts
        assert folder.name in (folder.parent / "index.html").read_text()
