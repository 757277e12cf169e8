"""A sweep runs what its variants share once, and survives a failing variant and Ctrl-C."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_workflow.store.run import STAGES
from tests.run.conftest import Project, processes_of

SWEEP = """
task: penguins
until: 03_poc
base: {pause: 0.3}
grid: {03_poc.seed: [1, 2]}
list: [{02_dataset.seed: 3}, {03_poc.seed: 98}]
"""


class Swept:
    """A sweep that was stopped by Ctrl-C after its first variant, and started again."""

    def __init__(self, project: Project) -> None:
        self.project, self.file = project, project.root / "few.yaml"
        self.file.write_text(SWEEP)
        # `env`: tests that run in the background ignore Ctrl-C, and a child would inherit that
        command = ["env", "--default-signal=INT", sys.executable, "-m", "ml_workflow.cli", "sweep"]
        with subprocess.Popen(
            [*command, str(self.file), "--jobs", "2"],
            cwd=project.root,
            env={**project.env, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as started:
            self.first_line = started.stdout.readline()
            os.killpg(started.pid, signal.SIGINT)  # as a terminal does
            self.stderr = started.communicate(timeout=60)[1]
        self.status, self.left = started.returncode, processes_of(project)
        self.before = project.records
        for record in self.whole(self.before):  # as where a kill comes before the page is rendered
            (project.reports / record["run"] / "03_poc.html").unlink(missing_ok=True)
        self.again = project.process("sweep", str(self.file), "--jobs", "2")
        self.records = project.records

    @staticmethod
    def whole(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that went to the end."""
        return [record for record in records if record["stages"][3]["status"] == "done"]


@pytest.fixture(scope="module")
def swept(project: Project) -> Swept:
    return Swept(project)


def test_ctrl_c_ends_a_sweep_with_a_sentence_and_true_records(swept: Swept) -> None:
    assert swept.status == 130 and "Traceback" not in swept.stderr, swept.stderr
    assert "goes on from there" in swept.stderr and swept.left == []
    stages = [stage for record in swept.before for stage in record["stages"]]
    assert {stage["status"] for stage in stages} <= {"done", "reused", "pending", "failed"}
    assert len(swept.whole(swept.before)) < 3


def test_the_same_command_goes_on_and_does_nothing_twice(swept: Swept) -> None:
    whole = swept.whole(swept.records)
    assert all(record in whole for record in swept.whole(swept.before))
    variants = [{"03_poc.seed": 1}, {"03_poc.seed": 2}, {"02_dataset.seed": 3}]
    found = [record["sweep"]["variant"] for record in whole]
    assert len(found) == 3 and all(variant in found for variant in variants)


def test_stages_that_variants_share_run_once(swept: Swept) -> None:
    for number, times in ((0, 1), (1, 1), (2, 2)):
        stages = [record["stages"][number] for record in swept.records]
        runs = {
            r["run"] for r, s in zip(swept.records, stages, strict=True) if s["status"] == "done"
        }
        assert len(runs) == times
        assert {stage["from"] for stage in stages if stage["status"] == "reused"} <= runs


def test_a_variant_that_fails_is_told_and_stops_no_other(swept: Swept) -> None:
    broken = [record for record in swept.records if record["outcome"] == "failed"]
    assert broken and all(r["sweep"]["variant"] == {"03_poc.seed": 98} for r in broken)
    assert broken[0]["stages"][3]["error"] in swept.again.stdout + swept.first_line
    assert swept.again.returncode == 1 and "3 of 4 variants" in swept.again.stdout


def test_every_variant_has_its_pages_and_stands_in_the_index(swept: Swept) -> None:
    index = (swept.project.reports / "index.html").read_text()
    for record in swept.whole(swept.records):
        folder = swept.project.reports / record["run"]
        assert record["run"] in index and record["sweep"]["name"] == "few"
        assert all((folder / f"{name}.html").exists() for name in [*STAGES[:4], "index"])


def test_every_variant_is_in_mlflow_once_with_parameters_and_figures(swept: Swept) -> None:
    base = sqlite3.connect(swept.project.env["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))
    for record in swept.whole(swept.records):
        ((run,),) = base.execute("select run_uuid from runs where name = ?", [record["run"]])
        values = {
            table: dict(base.execute(f"select key, value from {table} where run_uuid = ?", [run]))
            for table in ("params", "metrics")
        }
        seed = record["parameters"]["03_poc"].get("seed", 0)
        assert values["metrics"]["net_value_per_month"] == seed
        assert values["metrics"]["net_value_per_month_upper"] == 9
        given = record["sweep"]["variant"] | {f"{stage}.pause": 0.3 for stage in STAGES}
        assert values["params"] == {name: str(value) for name, value in given.items()}


def test_a_refused_sweep_leaves_nothing_behind(tmp_path: Path) -> None:
    project, file = Project(tmp_path), tmp_path / "refused.yaml"
    file.write_text(SWEEP)
    done = project.process("sweep", str(file), "--scheduler", "nowhere")
    assert done.returncode == 2 and "dask scheduler" in done.stderr and project.records == []


@pytest.mark.prove
def test_a_sweep_runs_on_a_dask_cluster(tmp_path: Path, scheduler: str) -> None:
    project, file = Project(tmp_path), tmp_path / "few.yaml"
    file.write_text(SWEEP)
    done = project.process("sweep", str(file), "--scheduler", scheduler)
    assert "3 of 4 variants" in done.stdout, done
    assert len(Swept.whole(project.records)) == 3
    assert sum(record["stages"][1]["status"] == "done" for record in project.records) == 1
