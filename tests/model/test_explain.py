"""What counts for a score is found, and where a model is weak shows, but not by chance."""

import numpy as np
import pandas as pd
import pytest

from ml_workflow.model.explain import dependence, importance, slices


def test_importance_and_dependence_find_the_column_that_counts() -> None:
    rng = np.random.default_rng(0)
    numbers = {"strong": rng.normal(size=300), "idle": rng.normal(size=300)}
    frame = pd.DataFrame(numbers).assign(kind=rng.choice(["a", "b"], 300))
    known = frame.assign(outcome=frame["strong"])
    rises = importance(
        lambda rows: (rows["strong"] - rows["outcome"]).to_numpy() ** 2,
        known,
        ["strong", "idle", "kind"],
    )
    assert rises.index[0] == "strong" and rises.loc["idle", "rise"] == 0
    assert rises["rise"].iloc[0] > 1
    curve = dependence(lambda rows: rows["strong"].to_numpy() * 2, frame, "strong")
    np.testing.assert_allclose(curve["score"], curve["value"] * 2)
    steps = dependence(lambda rows: (rows["kind"] == "a").to_numpy() * 1.0, frame, "kind")
    assert set(steps["score"]) == {0.0, 1.0}


def test_a_weak_group_shows_and_a_fair_model_has_none() -> None:
    rng = np.random.default_rng(0)
    few = np.where(np.arange(2000) < 10, "x", "y")
    frame = pd.DataFrame({"sex": rng.choice(["f", "m"], 2000), "few": few})
    frame["age"] = pd.Series(rng.normal(40, 10, 2000)).where(rng.random(2000) > 0.1)
    loss = rng.exponential(1, 2000)
    assert not slices(frame, loss)["weak"].any()
    table = slices(frame, loss + (frame["sex"] == "f"))
    assert list(table[table["weak"]]["group"]) == ["f"]
    assert table["loss"].iloc[0] == pytest.approx(0.5, abs=0.1)
    groups = set(table["group"])
    assert "x" not in groups and "missing" in groups and len(groups) == 2 + 1 + 5 + 1
    assert slices(frame.head(5), loss[:5]).empty
