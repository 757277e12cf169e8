"""Releases of a small project, kept and registered in milliseconds."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from ml_workflow.data.contract import Contract
from ml_workflow.decision.kinds import kind_of
from ml_workflow.model.fitting import scored
from ml_workflow.model.release import Card, keep_release
from ml_workflow.store.files import write_json
from ml_workflow.task.file import as_task, write_task
from tests.conftest import ROOT, surroundings

MODULE = '''
import numpy as np

def stretched(frame):
    """A feature for tests."""
    return frame.assign(wide=frame["x"] * 2)
'''
TASK = {
    "name": "stretch",
    "question": "Is x large?",
    "unit": "id",
    "sources": [{"name": "s", "uri": "none.csv"}],
    "target": {"column": "y", "kind": "binary", "positive": 1},
    "features": "stretched",
    "current_process": {"describe": "A rule of thumb.", "decide": "x > 0.5"},
}
TABLE = pd.DataFrame({"id": range(40), "x": np.linspace(-1, 1, 40)}).assign(
    y=lambda table: (table["x"] > 0).astype(int)
)


class Kept(NamedTuple):
    """A release that was kept, and the digest that a registry would keep."""

    folder: Path
    digest: str


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, with an empty registry."""
    (tmp_path / "house" / "ml_workflow").mkdir(parents=True)
    shutil.copy(ROOT / "settings.ini", tmp_path / "house")
    monkeypatch.chdir(tmp_path / "house")
    for name, value in surroundings(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "house"


def keep(house: Path, module: str = MODULE, run: str = "run-1", factor: float = 2) -> Kept:
    """Keep a release of the project, whose module 02_dataset reads so and stretches by a factor."""
    (house / "ml_workflow" / "dataset.py").write_text(module, encoding="utf-8")
    task, files, folder = as_task(TASK, "t"), house / "files", house / "reports" / run / "release"
    write_task(files / "task.yaml", task)
    write_json(files / "contract.json", Contract.learned(task, TABLE).as_json())
    wide = pd.DataFrame({"wide": TABLE["x"] * factor})
    model = LogisticRegression().fit(wide, TABLE["y"])
    card = Card(
        task=task.name,
        run=run,
        steps=["linear"],
        features=True,
        inputs=["wide"],
        classes=kind_of(task).classes,
        measure="log_loss",
        out_of_fold=0.25,
        rows=len(TABLE),
        residuals=None,
        usual="leave",
    )
    examples = TABLE.assign(promised_0=scored(model, wide))
    return Kept(folder, keep_release(folder, model, card, files, examples))


@pytest.fixture
def release(house: Path) -> Kept:
    """A release of the small project."""
    return keep(house)
