"""The project's own tasks: each is complete, and the usual one goes through all six notebooks on the code as it stands."""

from pathlib import Path

import pytest

from ml_workflow.draft.check import check_task
from ml_workflow.run.notebooks import parameters
from ml_workflow.store.address import is_database
from ml_workflow.task.file import read_task
from tests.conftest import ROOT, newest, record, surroundings, workflow


def needs_tables(task: Path) -> None:
    """Skip where a table of the task does not lie, because git does not keep it."""
    absent = [
        source.uri
        for source in read_task(task).sources
        if not is_database(source.uri) and not (ROOT / source.uri).exists()
    ]
    if absent:
        pytest.skip(f"{', '.join(absent)} is not here")


@pytest.mark.parametrize(
    "task", sorted((ROOT / "tasks").glob("*.yaml")), ids=lambda path: path.stem
)
def test_a_task_is_complete_and_its_sources_answer(task: Path) -> None:
    needs_tables(task)
    _, counts = check_task(str(task))
    assert 0 < counts["holdout"] < counts["examples"]


def test_the_usual_task_goes_through_all_six_notebooks(tmp_path: Path) -> None:
    needs_tables(ROOT / "tasks" / f"{parameters('00_define')['task'].default}.yaml")
    env = surroundings(tmp_path)
    done = workflow(
        "run", "--force", "-p", "sample=2000", "-p", "folds=2", "-p", "time_budget=1", env=env
    )
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert [stage["status"] for stage in record(newest(env))["stages"]] == ["done"] * 6
