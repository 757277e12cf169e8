"""The API scores and decides as the notebooks do, by the quick path and by the release's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from ml_workflow.serve.app import application
from ml_workflow.serve.compiled import rows_for_proof, scorer
from ml_workflow.serve.rows import as_json, frame
from tests.conftest import newest, workflow
from tests.serve.conftest import Home, home_of


def as_the_notebook(home: Home) -> None:
    """Every holdout row, one by one and together, has the score and the decision that 04 wrote down."""
    holdout, scores = (
        pd.read_parquet(home.run / "files" / f"{name}.parquet") for name in ("holdout", "scores")
    )
    model, client = home.live.model, TestClient(application(home.live, []))
    rows = [
        {c.name: as_json(holdout[c.name].iloc[i]) for c in model.columns}
        for i in range(len(holdout))
    ]
    expected = scores.filter(regex="^release_score").to_numpy()
    together = [
        answer
        for start in range(0, len(rows), 5000)
        for answer in client.post("/predict", json=rows[start : start + 5000]).json()
    ]
    single = [client.post("/predict", json=row).json() for row in rows[:300]]
    for answers in (together, single):
        found = [
            list(a["score"].values()) if isinstance(a["score"], dict) else [a["score"]]
            for a in answers
        ]
        assert np.array_equal(np.squeeze(found), expected[: len(answers)].squeeze())
        if model.actions:
            assert [a["decision"] for a in answers] == list(
                scores["release_decision"][: len(answers)]
            )


def test_the_api_scores_each_holdout_row_as_the_notebook(home: Home) -> None:
    as_the_notebook(home)
    assert pd.read_parquet(home.run / "files" / "holdout.parquet").isna().any(axis=None)


@pytest.mark.prove
@pytest.mark.parametrize("task", ["credit", "bikes"])
def test_the_api_scores_other_tasks_as_their_notebooks(
    task: str, env: dict[str, str], tmp_path: Path
) -> None:
    done = workflow("run", task, "--until", "04_scale", "--force", "-p", "time_budget=5", env=env)
    assert done.returncode in (0, 3), done.stderr
    as_the_notebook(home_of(newest(env), task, tmp_path))


def test_the_quick_path_is_taken_and_equals_the_pipeline_on_rows_all_over_the_contract(
    home: Home,
) -> None:
    model = home.live.model
    assert model.path == "compiled"
    rows = list(rows_for_proof(model.release, model.columns, 300, seed=7))
    assert any(None in row.values() for row in rows)
    rows += [
        {**row, "island": "never seen", "sex": "N/A"} for row in rows[:20]
    ]  # beyond the contract, the path must still agree
    raw = frame(model.columns, rows)
    assert np.array_equal(model.score(raw), model.release.score(raw))


def test_a_quick_path_that_scores_otherwise_is_not_taken(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ml_workflow.serve.compiled as compiled

    made = compiled._compiled
    monkeypatch.setattr(
        compiled, "_compiled", lambda release: lambda raw: made(release)(raw) + 1e-5
    )
    score, path = scorer(home.live.model.release, home.live.model.columns)
    assert (score, path) == (home.live.model.release.score, "pipeline")


def test_columns_are_typed_as_the_release_was_fitted(home: Home) -> None:
    holdout = pd.read_parquet(home.run / "files" / "holdout.parquet")
    columns = home.live.model.columns
    rows: list[dict[str, Any]] = [
        {c.name: as_json(holdout[c.name].iloc[i]) for c in columns} for i in range(len(holdout))
    ]
    pd.testing.assert_frame_equal(frame(columns, rows), holdout[[c.name for c in columns]])
