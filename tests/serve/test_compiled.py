"""The quick path is taken where it scores as the release's own pipeline, to the last bit."""

import numpy as np
import pytest

from ml_workflow.serve import compiled
from tests.serve.conftest import Home


def test_the_quick_path_equals_the_pipeline_on_rows_all_over_the_contract_and_beyond(
    each: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = each.live.model
    assert model.path == "compiled"
    monkeypatch.setattr(compiled, "CACHED", 10)
    rows = compiled.proof_rows(model.release, model.rows, 300, seed=7)
    assert any(None in row.values() for row in rows)
    beyond = [{**row, "sex": "N/A", "year": 1900} for row in rows[:20]]  # it must still agree
    frame = model.rows.frame(rows + beyond)
    assert np.array_equal(model.score(frame), model.release.score(frame))


def test_a_quick_path_that_scores_otherwise_is_not_taken(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sound = home.live.model, compiled._compiled
    monkeypatch.setattr(
        compiled, "_compiled", lambda release: lambda frame: sound(release)(frame) + 1e-5
    )
    assert compiled.scorer(model.release, model.rows) == (model.release.score, "pipeline")
