"""Each behaviour test can fail, and a sound model passes them all."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml_workflow.data.columns import Column
from ml_workflow.data.contract import Contract
from ml_workflow.decision.kinds import kind_of
from ml_workflow.model.behaviour import functionality, invariance
from ml_workflow.task.file import read_task
from tests.conftest import ROOT

TASK = read_task(ROOT / "tasks" / "credit.yaml")
ROWS = pd.read_csv(ROOT / "data" / "credit.csv.gz").head(60)
RANGES = {"PAY_0": (-3.0, 9.0), "LIMIT_BAL": (0.0, 1e6)}
CONTRACT = Contract({name: Column("number", False, *ends) for name, ends in RANGES.items()})


def held(score: Callable[[pd.DataFrame], Any]) -> dict[str, bool]:
    """What holds of a release that scores so."""
    release: Any = SimpleNamespace(score=score, task=TASK, kind=kind_of(TASK), contract=CONTRACT)
    return invariance(release, ROWS) | functionality(release, ROWS)


def risk(frame: pd.DataFrame) -> np.ndarray:
    """The probability by a rule of thumb."""
    return np.asarray(1 / (1 + np.exp(-frame["PAY_0"].fillna(0).to_numpy(dtype=float))))


def test_a_sound_model_behaves() -> None:
    found = held(risk)
    assert len(found) == 5 and all(found.values())


@pytest.mark.parametrize(
    ("score", "name"),
    [
        (lambda f: risk(f) * np.linspace(0, 1, len(f)), "the order of rows does not matter"),
        (lambda f: risk(f) / len(f), "a row alone scores as among others"),
        (lambda f: risk(f) * f["customer_id"].to_numpy() / 1e6, "the unit does not matter"),
        (lambda f: risk(f) + f["LIMIT_BAL"].to_numpy() * 0, "missing values score"),
        (lambda f: risk(f) + (f["LIMIT_BAL"].to_numpy() >= 1e6), "extremes stay in range"),
    ],
)
def test_each_behaviour_test_can_fail(score: Callable[[pd.DataFrame], Any], name: str) -> None:
    assert not held(score)[name]
