"""MLflow opens a registered release as it opens any model, and what was changed it does not."""

from pathlib import Path

import mlflow
import pandas as pd
import pytest

from ml_workflow.errors import Refusal
from ml_workflow.model.registry import register
from ml_workflow.model.release import load_release
from tests.model.conftest import TABLE, Kept


def test_mlflow_s_own_loader_gives_the_release_s_scores_and_decisions(
    house: Path, release: Kept
) -> None:
    register("stretch", *release, {}, {}, {})
    rows, loaded = TABLE.sample(5, random_state=0), load_release(*release)
    answers = mlflow.pyfunc.load_model("models:/stretch/1").predict(rows)
    scores = loaded.score(rows)
    expected = pd.DataFrame({"score": scores, "decision": loaded.decide(rows, scores)}, rows.index)
    pd.testing.assert_frame_equal(answers, expected)
    (stored,) = (house.parent / "mlruns").rglob("card.json")
    stored.write_text("{}")
    with pytest.raises(Refusal, match="is not what was registered"):
        mlflow.pyfunc.load_model("models:/stretch/1")
