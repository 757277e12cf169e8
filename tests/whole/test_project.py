"""The project's own tasks are complete, and their sources answer."""

from pathlib import Path

import pytest

from ml_workflow.draft.check import check_task
from ml_workflow.store.address import is_database
from ml_workflow.task.file import read_task
from tests.conftest import ROOT


@pytest.mark.parametrize(
    "task", sorted((ROOT / "tasks").glob("*.yaml")), ids=lambda path: path.stem
)
def test_a_task_is_complete_and_its_sources_answer(task: Path) -> None:
    addresses = [source.uri for source in read_task(task).sources]
    absent = [uri for uri in addresses if not is_database(uri) and not (ROOT / uri).exists()]
    if absent:  # git does not keep a project's tables
        pytest.skip(f"{', '.join(absent)} is not here")
    _, counts = check_task(str(task))
    assert 0 < counts["holdout"] < counts["examples"]
