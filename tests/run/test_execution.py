"""kill -9 at any moment leaves a true record and no process, and the same command goes on."""

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
from tests.conftest import read_json, record
from tests.run.conftest import Project, processes_of

WORDS = ("run", "penguins", "-p", "seed=3", "-p", "pause=0.3", "--until", "03_poc")
SECONDS = 8
"""About as long as such a run takes."""
VICTIMS = ("kernel", "warm parent", "runner")


def start(project: Project) -> subprocess.Popen[str]:
    """A run under way."""
    return subprocess.Popen(
        [sys.executable, "-m", "ml_workflow.cli", *WORDS],
        cwd=project.root,
        env=project.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def candidates(runner: psutil.Process, victim: str) -> list[psutil.Process]:
    """The processes of this kind that work for the runner now: the warm parent, or its kernels."""
    if victim == "runner":
        return [runner]
    parents = [child for child in runner.children() if "warm" in " ".join(child.cmdline())]
    if victim == "warm parent":
        return parents
    return [kernel for parent in parents for kernel in parent.children()]


def kill_one(started: subprocess.Popen[str], victim: str, choice: random.Random) -> None:
    """Kill one such process at a random moment, or as soon as there is one."""
    time.sleep(choice.uniform(0, SECONDS))
    while started.poll() is None:
        with suppress(psutil.Error):
            if found := candidates(psutil.Process(started.pid), victim):
                choice.choice(found).kill()
                return
        time.sleep(0.01)


def assert_true(folder: Path) -> dict[str, Any]:
    """What the record says is done is there, whole; what is not done is not claimed."""
    run = record(folder)
    for stage in run["stages"]:
        assert stage["status"] in ("done", "reused", "failed", "pending")
        if stage["status"] in ("done", "reused"):
            assert stage["verdict"]["answer"] == "Seed 3."
            assert read_json(folder / f"{stage['name']}.ipynb")["cells"]
            assert stage["made"]
            assert all((folder / "files" / name).exists() for name in stage["made"])
        else:
            assert "verdict" not in stage and "made" not in stage
        if stage["status"] == "failed":
            assert run["outcome"] == "failed" and stage["error"]
    return run


def assert_finished(project: Project) -> None:
    """The newest run is whole, with its pages."""
    run = assert_true(project.newest)
    assert {stage["status"] for stage in run["stages"][:4]} <= {"done", "reused"}
    assert all((project.newest / f"{stage}.html").exists() for stage in STAGES[:4])
    assert project.newest.name in (project.reports / "index.html").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="warm kernels need Linux")
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.prove) for n in range(1, 20))]
)
def test_kills_cost_only_the_stage_under_way(seed: int, tmp_path: Path) -> None:
    project, choice, before = Project(tmp_path), random.Random(seed), None
    for victim in VICTIMS:
        started = start(project)
        kill_one(started, victim, choice)
        stderr = started.communicate(timeout=120)[1]
        assert "Traceback" not in stderr and processes_of(project) == [], stderr
        if victim != "runner" and started.returncode:
            assert started.returncode == 1 and len(stderr.strip().splitlines()) == 1, stderr
            assert "the kernel ended" in stderr
        # A run that is killed before it has a folder leaves the newest as it was.
        if project.records and (before is None or project.newest.name != before["run"]):
            after = assert_true(project.newest)
            for old, new in zip(before["stages"] if before else [], after["stages"], strict=False):
                assert old["status"] != "done" or new["status"] in ("reused", "pending")
            before = after
    assert project.process(*WORDS).returncode == 0
    assert_finished(project)


def test_two_runs_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    project = Project(tmp_path)
    started = [start(project) for _ in range(2)]
    texts = [process.communicate(timeout=200) for process in started]
    assert [process.returncode for process in started] == [0, 0], texts
    assert len(project.records) == 2
    for path in project.reports.glob("penguins-*"):
        assert all(
            stage["status"] in ("done", "reused") for stage in assert_true(path)["stages"][:4]
        )
    assert_finished(project)
