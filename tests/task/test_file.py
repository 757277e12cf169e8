"""The task's file: found by its name, read without running anything, kept in a run."""

from pathlib import Path

import pytest

from ml_workflow.errors import Refusal
from ml_workflow.store.run import open_run
from ml_workflow.task.completeness import checklist
from ml_workflow.task.file import keep_task, read_task, task_of, task_path
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_what_is_not_text_is_refused_and_no_yaml_tag_runs_code(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(Refusal, match="not text"):
        read_task(tmp_path / "t.yaml")
    code = f"name: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']\n"
    (tmp_path / "t.yaml").write_text(code)
    with pytest.raises(Refusal, match="not YAML"):
        read_task(tmp_path / "t.yaml")
    assert not (tmp_path / "made").exists()


def test_a_task_goes_by_name_or_path() -> None:
    file = ROOT / "tasks" / "credit.yaml"
    assert {task_path(name) for name in ("credit", "tasks/credit.yaml", str(file))} == {file}


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "tasks").glob("*.yaml")))
def test_our_tasks_are_complete_and_come_back_from_a_run_as_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_WORKFLOW_REPORTS", str(tmp_path))
    task = read_task(task_path(name))
    assert task.name == name and task.value.because
    missing = checklist(task).query("there == 'no'")["item"]
    assert set(missing) <= {"data a human would want", "cost of building"}, missing
    keep_task(open_run("lab"), task)
    assert task_of(open_run("lab")) == task
