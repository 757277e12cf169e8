"""Stage 04 says what each step brought, and its project's own behaviour test can fail."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from ml_workflow.decision.kinds import kind_of
from ml_workflow.scale import direction
from ml_workflow.task.file import read_task
from tests.conftest import ROOT, read_json


def test_the_ledger_holds_a_row_for_each_step_and_only_gains_are_kept(finished: Path) -> None:
    ledger = read_json(finished / "files" / "ledger.json")
    steps = pd.DataFrame(ledger["steps"]).set_index("step")
    assert {"half the data", "more data", "blending"} <= set(steps.index)
    figures = {"log_loss", "change", "gain_lower", "gain", "gain_upper", "seconds", "kept"}
    assert figures <= set(steps)
    fell = steps["change"].isna() | (steps["change"] < 0)
    assert (steps["kept"] == np.where(fell, "kept", "dropped")).all()
    assert steps.loc["blending", "log_loss"] <= steps.loc["more data", "log_loss"] + 1e-9
    assert ledger["behaviour"] and all(ledger["behaviour"].values())
    assert ledger["openings"] == []


def test_a_later_payment_must_raise_the_risk_of_credit_and_of_credit_only() -> None:
    rows = pd.read_csv(ROOT / "data" / "credit.csv.gz").head(60)

    def told(task: str, sign: float, frame: pd.DataFrame) -> dict[str, bool]:
        kind = kind_of(read_task(ROOT / "tasks" / f"{task}.yaml"), ["a", "b"])
        release: Any = SimpleNamespace(kind=kind, score=lambda f: sign * f["PAY_0"].to_numpy() / 9)
        return direction(release, frame)

    assert told("credit", 1, rows) == {"later payments do not lower the risk": True}
    assert told("credit", -1, rows) == {"later payments do not lower the risk": False}
    assert told("penguins", 1, pd.DataFrame({"bill_length_mm": [1.0]})) == {}
