"""What a run's release scores and decides when it is served is what the notebook wrote down."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from ml_workflow.serve.app import application
from ml_workflow.serve.rows import as_rows
from tests.conftest import newest, workflow
from tests.serve.conftest import home_of


@pytest.mark.parametrize(
    "task",
    [
        "penguins",
        pytest.param("credit", marks=pytest.mark.prove),
        pytest.param("bikes", marks=pytest.mark.prove),
    ],
)
def test_each_holdout_row_is_scored_and_decided_as_in_the_notebook(
    task: str, finished: Path, env: dict[str, str], tmp_path: Path
) -> None:
    run = finished
    if task != "penguins":
        words = ["run", task, "--until", "04_scale", "--force", "-p", "time_budget=5"]
        assert workflow(*words, env=env).returncode in (0, 3)
        run = newest(env)
    home = home_of(run, task, tmp_path)
    scores = pd.read_parquet(run / "files" / "scores.parquet")
    rows, client = as_rows(home.inputs), TestClient(application(home.live, []))
    together = [
        one
        for start in range(0, len(rows), 5000)
        for one in client.post("/predict", json=rows[start : start + 5000]).json()
    ]
    alone = [client.post("/predict", json=row).json() for row in rows[:100]]
    assert home.live.model.path == "compiled" and together[:100] == alone
    found = pd.json_normalize(together)
    expected = scores.filter(regex="^release_score").to_numpy()
    assert np.array_equal(found.filter(like="score").to_numpy(), expected)
    assert found["decision"].tolist() == scores["release_decision"].tolist()
    home.live.close()
