"""Every opening of a holdout is counted, and every process is judged on the same rows."""

from pathlib import Path

import pandas as pd
import pytest

from ml_workflow.decision.kinds import kind_of
from ml_workflow.decision.process import constant_process, current_process
from ml_workflow.model.holdout import on_holdout, open_holdout
from ml_workflow.task.file import read_task
from tests.conftest import ROOT


def test_openings_of_a_holdout_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_WORKFLOW_REPORTS", str(tmp_path / "reports"))
    assert open_holdout("credit", "abc", "first") == []
    assert [o["run"] for o in open_holdout("credit", "abc", "second")] == ["first"]
    assert [o["run"] for o in open_holdout("credit", "abc", "third")] == ["first", "second"]
    assert open_holdout("credit", "abd", "fourth") == open_holdout("bikes", "abc", "fifth") == []


def test_of_two_of_several_classes_each_has_a_score_too() -> None:
    task, rows = read_task(ROOT / "tasks" / "penguins.yaml"), ROOT / "data" / "penguins.csv.gz"
    frame = pd.read_csv(rows).rename_axis("row").reset_index().head(244)
    kind = kind_of(task, frame["species"])
    processes = [current_process(kind, frame), constant_process(kind, frame)]
    table = on_holdout(kind, frame, processes)
    names = [*(f"score_{name}" for name in kind.classes), "decision", "value"]
    columns = [f"{process.name}_{name}" for process in processes for name in names]
    assert list(table) == ["unit", "outcome", *columns] and len(table) == len(frame)
    assert len(kind.classes) == 2 and table["constant_decision"].nunique() == 1
