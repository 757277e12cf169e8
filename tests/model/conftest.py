"""Releases of a small project, kept and registered in milliseconds."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from ml_workflow.data.contract import Contract
from ml_workflow.decision.kinds import Kind, kind_of
from ml_workflow.decision.process import usual_action
from ml_workflow.model.fitting import scored
from ml_workflow.model.release import Card, keep_release
from ml_workflow.store.files import write_json
from ml_workflow.task.file import as_task, write_task
from tests.conftest import ROOT, surroundings, within

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
def house(tmp_path: Path) -> Iterator[Path]:
    """A project of its own, with an empty registry."""
    place = tmp_path / "house"
    (place / "ml_workflow").mkdir(parents=True)
    shutil.copy(ROOT / "settings.ini", place)
    with within(place, surroundings(tmp_path)):
        yield place


def keep_in(
    files: Path, model: Any, kind: Kind, rows: pd.DataFrame, known: pd.DataFrame, made: pd.DataFrame
) -> Kept:
    """Keep a release among a run's files, of a model fitted on rows.

    Its examples are known rows, of which the inputs were made that it scores.
    """
    task, folder = kind.task, files / "release"
    write_task(files / "task.yaml", task)
    write_json(files / "contract.json", Contract.learned(task, rows).as_json())
    card = Card(
        task=task.name,
        run=files.parent.name,
        steps=["blend"],
        features=bool(task.features),
        inputs=list(made),
        classes=kind.classes,
        measure=kind.measure,
        out_of_fold=0.25,
        rows=len(rows),
        residuals=None,
        usual=usual_action(kind, rows),
    )
    promised = pd.DataFrame(scored(model, made)).add_prefix("promised_")
    return Kept(folder, keep_release(folder, model, card, files, known.join(promised)))


def keep(house: Path, module: str = MODULE, run: str = "run-1", factor: float = 2) -> Kept:
    """Keep a release of the project, whose module 02_dataset reads so and stretches by a factor."""
    (house / "ml_workflow" / "dataset.py").write_text(module, encoding="utf-8")
    files, kind = house / "reports" / run / "files", kind_of(as_task(TASK, "t"))
    wide = pd.DataFrame({"wide": TABLE["x"] * factor})
    model = LogisticRegression().fit(wide, TABLE["y"])
    return keep_in(files, model, kind, TABLE, TABLE, wide)


@pytest.fixture
def release(house: Path) -> Kept:
    """A release of the small project."""
    return keep(house)
