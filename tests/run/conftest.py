"""A project with six short notebooks, which run in seconds, and commands that run in it."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from ml_workflow.run import notebooks
from ml_workflow.store.run import STAGES
from tests.conftest import ROOT, called, newest, read_json, record, surroundings, workflow

CODE = """
import time
from ml_workflow.errors import Refusal
from ml_workflow.store.run import STAGES, Verdict, open_run
this, number = open_run(run), STAGES.index("{stage}")
if number:
    this.read_json(f"{{number - 1}}.json", STAGES[number - 1])
if seed == 98:
    1 / 0
if seed == 99:
    raise Refusal("The seed 99 is refused.")
time.sleep(pause)
this.write_json(f"{{number}}.json", seed)
figures = {{"net_value_per_month": [0, seed, 9]}}
this.finish("{stage}", Verdict(seed >= 0, f"Seed {{seed}}.", figures))
"""


def write_notebook(path: Path, *sources: str) -> Path:
    """Write a notebook of these cells, of which the first holds the parameters; its path."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


class Project:
    """The project and an environment of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.env = root, surroundings(root)
        self.reports = Path(self.env["ML_WORKFLOW_REPORTS"])
        for name in ("settings.ini", "tasks/penguins.yaml", "data/penguins.csv.gz"):
            (root / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        (root / "nbs").mkdir()
        for stage in STAGES:
            self.write(stage, CODE.format(stage=stage))

    def write(self, stage: str, code: str) -> None:
        """Write a stage's notebook."""
        task = '\ntask: str = "penguins"' if stage == STAGES[0] else ""
        declared = f'run: str = "lab"{task}\nseed: int = 0\npause: float = 0.0'
        write_notebook(self.root / "nbs" / f"{stage}.ipynb", declared, code)
        notebooks.read_notebook.cache_clear()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`ml-workflow run penguins` with these words, in this process."""
        return called("run", "penguins", *words, env=self.env, cwd=self.root)

    def process(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`ml-workflow` with these words, as a process."""
        return workflow(*words, env=self.env, cwd=self.root)

    @property
    def newest(self) -> Path:
        """The folder of the newest run."""
        return newest(self.env)

    @property
    def record(self) -> dict[str, Any]:
        """The record of the newest run."""
        return record(self.newest)

    @property
    def statuses(self) -> list[str]:
        """What became of the stages of the newest run."""
        return [stage["status"] for stage in self.record["stages"]]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of all runs, oldest first."""
        paths = sorted(self.reports.glob("penguins-*/run.json"), key=lambda p: p.parent.name[9:])
        return [read_json(path) for path in paths]


def working_for(reports: str) -> list[psutil.Process]:
    """The processes that were started with this folder of reports in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("ML_WORKFLOW_REPORTS") == reports:
                found.append(process)
    return found


def processes_of(project: Project) -> list[psutil.Process]:
    """The processes that work for a project; those about to end are waited for."""
    return psutil.wait_procs(working_for(str(project.reports)), timeout=5)[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    yield Project(tmp_path_factory.mktemp("project"))
    notebooks.read_notebook.cache_clear()
