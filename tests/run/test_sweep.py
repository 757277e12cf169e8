"""A sweep runs what its variants share once, survives a failing variant and Ctrl-C, and refuses what is wrong at once."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from ml_workflow.errors import Refusal
from ml_workflow.run.sweep import Variant, owners, read_sweep
from ml_workflow.store.run import STAGES
from tests.conftest import ROOT, surroundings, workflow

GRID = """
task: penguins
until: 03_poc
base: {03_poc.folds: 2, 01_research.sample: 150}
grid: {03_poc.learning_rate: [0.05, 0.2]}
list: [{03_poc.seed: 1}, {03_poc.folds: 1000}]
"""


def written(folder: Path, text: str) -> Path:
    """A sweep's file with this text."""
    path = folder / "few.yaml"
    path.write_text(text)
    return path


def records(env: dict[str, str]) -> list[dict[str, Any]]:
    """The records of all runs, oldest first."""
    paths = sorted(
        Path(env["ML_WORKFLOW_REPORTS"]).glob("penguins-*/run.json"),
        key=lambda path: path.parent.name.split("-")[1],
    )
    return [json.loads(path.read_text()) for path in paths]


def processes_of(env: dict[str, str]) -> list[str]:
    """The processes that work for these reports; those about to end are waited for."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("ML_WORKFLOW_REPORTS") == env["ML_WORKFLOW_REPORTS"]:
                found.append(process)
    return [str(process) for process in psutil.wait_procs(found, timeout=5)[1]]


class Swept:
    """A sweep that was stopped by Ctrl-C after its first variants, and started again."""

    def __init__(self, folder: Path) -> None:
        self.env, file = surroundings(folder), written(folder, GRID)
        # `env`: tests that run in the background ignore Ctrl-C, and a child would inherit that
        command = [
            "env",
            "--default-signal=INT",
            sys.executable,
            "-m",
            "ml_workflow.cli",
            "sweep",
            str(file),
            "--jobs",
            "2",
        ]
        started = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**self.env, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert started.stdout and started.stderr
        self.first_line = started.stdout.readline()
        os.killpg(started.pid, signal.SIGINT)  # as a terminal does
        self.said = started.communicate(timeout=60)[1]
        self.stopped = started.returncode
        self.left = processes_of(self.env)
        self.before = records(self.env)
        for record in self.before:  # a kill between a stage's end and its page leaves the page out
            if record["stages"][3]["status"] == "done":
                (Path(self.env["ML_WORKFLOW_REPORTS"]) / record["run"] / "03_poc.html").unlink(
                    missing_ok=True
                )
        self.again = workflow("sweep", str(file), "--jobs", "2", env=self.env)
        self.records = records(self.env)
        self.whole = [r for r in self.records if r["stages"][3]["status"] == "done"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    return Swept(tmp_path_factory.mktemp("swept"))


def test_ctrl_c_ends_a_sweep_with_a_sentence_and_true_records(swept: Swept) -> None:
    assert (
        swept.stopped == 130
        and "goes on from there" in swept.said
        and "Traceback" not in swept.said
    ), swept.said
    assert swept.left == []
    assert {s["status"] for r in swept.before for s in r["stages"][:4]} <= {
        "done",
        "reused",
        "pending",
        "failed",
    }
    assert any(r["stages"][3]["status"] == "pending" for r in swept.before)


def test_the_same_command_goes_on_and_does_nothing_twice(swept: Swept) -> None:
    ended = [r for r in swept.before if r["stages"][3]["status"] == "done"]
    assert len(swept.whole) == 3 and all(r in swept.whole for r in ended)
    assert len({json.dumps(r["sweep"]["variant"]) for r in swept.whole}) == 3


def test_stages_that_variants_share_run_once(swept: Swept) -> None:
    for number in range(3):
        made = [r["run"] for r in swept.records if r["stages"][number]["status"] == "done"]
        reused = {
            r["stages"][number]["from"]
            for r in swept.records
            if r["stages"][number]["status"] == "reused"
        }
        assert len(made) == 1 and reused == set(made)


def test_a_variant_that_fails_is_told_and_stops_no_other(swept: Swept) -> None:
    broken = [r for r in swept.records if r["outcome"] == "failed"]
    assert broken and all(r["sweep"]["variant"] == {"03_poc.folds": 1000} for r in broken)
    assert broken[0]["stages"][3]["error"] in swept.again.stdout + swept.first_line
    assert swept.again.returncode in (1, 2) and "3 of 4 variants" in swept.again.stdout


def test_a_variant_scores_what_a_single_run_scores(swept: Swept) -> None:
    variant = swept.whole[-1]
    given = [
        word
        for stage, values in variant["parameters"].items()
        for name, value in values.items()
        for word in ("-p", f"{stage}.{name}={value}")
    ]
    done = workflow(
        "run",
        "penguins",
        "--until",
        "03_poc",
        "--from",
        "03_poc",
        *given,
        env={**swept.env, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    alone = json.loads((Path(swept.env["ML_WORKFLOW_REPORTS"]) / "latest" / "run.json").read_text())
    assert alone["stages"][3]["status"] == "done" and "sweep" not in alone
    assert alone["stages"][3]["verdict"] == variant["stages"][3]["verdict"]


def test_every_variant_has_its_pages_and_stands_in_the_index(swept: Swept) -> None:
    reports = Path(swept.env["ML_WORKFLOW_REPORTS"])
    index = (reports / "index.html").read_text()
    for record in swept.whole:
        assert record["run"] in index and record["sweep"]["name"] == "few"
        assert all((reports / record["run"] / f"{stage}.html").exists() for stage in STAGES[:4])


def test_every_variant_is_in_mlflow_once_with_parameters_and_figures(swept: Swept) -> None:
    base = sqlite3.connect(swept.env["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))
    for record in swept.whole:
        found = base.execute("select run_uuid from runs where name = ?", [record["run"]]).fetchall()
        assert len(found) == 1
        parameters = dict(
            base.execute("select key, value from params where run_uuid = ?", found[0]).fetchall()
        )
        figures = dict(
            base.execute("select key, value from metrics where run_uuid = ?", found[0]).fetchall()
        )
        assert parameters["03_poc.folds"] == "2" and set(parameters) - {
            "03_poc.folds",
            "01_research.sample",
        } == set(record["sweep"]["variant"])
        assert (
            figures["net_value_per_month"]
            == record["stages"][3]["verdict"]["figures"]["net_value_per_month"][1]
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grid: {leafs: [7, 31]}", "leaves"),
        ("grid: {leaves: [7, many]}", "whole number"),
        ("grid: {leaves: 7}", "list of values"),
        ("gird: {leaves: [7]}", "grid"),
        ("random: {n: 2, parameters: {leaves: {low: 5}}}", "low and high"),
        ("random: {n: 0, parameters: {leaves: [5]}}", "n (1 or more)"),
        ("until: 07_party", "03_poc"),
        ("tasks: penguins", "give a list"),
        ("grid: [", "is not YAML"),
    ],
)
def test_what_is_wrong_in_a_sweep_is_refused_before_anything_starts(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match=said.replace("(", r"\(").replace(")", r"\)")):
        read_sweep(written(tmp_path, f"task: penguins\n{text}\n"))


def test_a_refused_sweep_leaves_nothing_behind(tmp_path: Path) -> None:
    env = surroundings(tmp_path)
    done = workflow(
        "sweep", str(written(tmp_path, "task: penguins\ngrid: {leafs: [7, 31]}\n")), env=env
    )
    assert done.returncode == 2 and "leaves" in done.stderr and "Traceback" not in done.stderr
    assert not list(Path(env["ML_WORKFLOW_REPORTS"]).glob("*"))


def test_grid_list_and_random_add_up_and_random_is_the_same_each_time(tmp_path: Path) -> None:
    text = """
tasks: [penguins, bikes]
base: {folds: 3}
grid: {leaves: [7, 31], 03_poc.seed: [0, 1]}
list: [{leaves: 15}, {leaves: 7, 03_poc.seed: 0}]
random: {n: 3, seed: 7, parameters: {learning_rate: {low: 0.001, high: 0.5, log: true}, leaves: {low: 5, high: 9}}}
"""
    once, twice = read_sweep(written(tmp_path, text)), read_sweep(written(tmp_path, text))
    assert once == twice and len(once.variants) == 2 * (
        4 + 1 + 3
    )  # one of the list stands in the grid already
    drawn = once.variants[5].given
    assert (
        drawn["task"] == "penguins"
        and 0.001 <= drawn["learning_rate"] <= 0.5
        and drawn["leaves"] in range(5, 10)
    )
    assert all(v.parameters["03_poc"]["folds"] == 3 for v in once.variants)


def test_each_variant_waits_for_the_one_that_shares_most_with_it() -> None:
    def variant(task: str, **by_stage: int) -> Variant:
        return Variant(task, {}, {stage: {"x": by_stage.get(stage[3:], 0)} for stage in STAGES})

    variants = [
        variant("a"),
        variant("a", poc=1),
        variant("a", dataset=1),
        variant("a", dataset=1, poc=1),
        variant("b"),
        variant("a", define=1),
    ]
    assert owners(variants, "03_poc") == [(0, 0), (0, 3), (0, 2), (2, 3), (4, 0), (5, 0)]


@pytest.mark.prove
def test_a_sweep_runs_on_a_dask_cluster(tmp_path: Path) -> None:
    from distributed import LocalCluster

    env = surroundings(tmp_path)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        done = workflow(
            "sweep", str(written(tmp_path, GRID)), "--scheduler", cluster.scheduler_address, env=env
        )
    assert "3 of 4 variants" in done.stdout, done.stdout + done.stderr
    made = records(env)
    assert sum(r["stages"][2]["status"] == "done" for r in made) == 1
    assert sum(r["stages"][3]["status"] == "done" for r in made) == 3


def test_a_sweep_without_an_answering_scheduler_is_refused(tmp_path: Path) -> None:
    done = workflow(
        "sweep", str(written(tmp_path, GRID)), "--scheduler", "nowhere", env=surroundings(tmp_path)
    )
    assert done.returncode == 2 and "dask scheduler" in done.stderr, done.stderr
