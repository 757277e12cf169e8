"""/decide writes before it answers, follows the experiment, and fails as configured."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from ml_workflow.experiments.lifecycle import end, kill, start
from ml_workflow.serve import decide as deciding
from ml_workflow.serve.app import application
from ml_workflow.serve.model import Model
from ml_workflow.serve.reload import Live
from ml_workflow.serve.replay import replay
from ml_workflow.serve.rows import Row, as_rows
from ml_workflow.store.decisions import Exposure, read_decision, write
from tests.serve.conftest import Home, live_of


def client_of(live: Live, **options: Any) -> TestClient:
    return TestClient(application(live, [], **options))


def decide(client: TestClient, units: range, row: Row, key: str = "") -> list[dict[str, Any]]:
    """The answers to units that share a row."""
    items = [{"unit": f"u{i}", "row": row} for i in units]
    answer = client.post("/decide", json=items, headers={"idempotency-key": key})
    assert answer.status_code == 200, answer.text
    return answer.json()


def begin(live: Live, **settings: Any) -> None:
    """Start the experiment `first`, and look it up."""
    start(live.database, "first", live.task, **{"share": 0.5, "inclusion": 1.0} | settings)
    live.look_up_experiment()


def test_the_same_key_and_body_give_the_same_answer_and_another_body_409(
    home: Home, row: Row, url: str
) -> None:
    with live_of(home, url) as live:
        client, key = client_of(live), "e%20'\""
        assert decide(client, range(3), row, key) == decide(client, range(3), row, key)
        for other, status in ((key, 409), ("k" * 201, 400)):
            headers = {"idempotency-key": other}
            refused = client.post("/decide", json={"unit": "u9", "row": row}, headers=headers)
            assert refused.status_code == status and "key" in refused.json()["detail"].lower()
        assert client.post("/outcomes", json={"unit": "u1", "value": 2}).json()["new"] == 1


@pytest.mark.parametrize("shadow", [False, True])
def test_each_unit_is_served_by_its_arm_and_keeps_it(live: Live, row: Row, shadow: bool) -> None:
    begin(live, inclusion=0.8, shadow=shadow)
    client = client_of(live)
    gentoo = {**row, "flipper_length_mm": 207, "island": "Torgersen"}  # the rule says Gentoo
    answers = pd.DataFrame(decide(client, range(200), gentoo))
    assert 20 < answers["arm"].isna().sum() < 70 and 50 < (answers["arm"] == "current").sum() < 110
    by_current = answers["arm"].isin(["current", "release"] if shadow else ["current"])
    assert answers["score"].isna().equals(by_current)
    assert answers["by"].eq("current").equals(by_current)
    assert set(answers.loc[by_current, "decision"]) == {"Gentoo"}
    scored = answers.loc[answers["arm"] == "release", "id"].iloc[0]
    assert isinstance(read_decision(live.database, scored).score, dict) == shadow
    kill(live.database, "first")
    live.look_up_experiment()
    other = client_of(live)  # another process, without memory
    later = pd.DataFrame(decide(other, range(200), gentoo))
    assert later["arm"].equals(answers["arm"])
    assert set(later.dropna(subset="arm")["by"]) == {"current"}
    end(live.database, "first")
    live.look_up_experiment()
    assert {one["by"] for one in decide(client, range(200), gentoo)} == {"release"}


def test_an_arm_that_stands_wins_over_the_hash_however_few_are_kept_in_memory(
    live: Live, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "ARMS", 3)
    begin(live, share=0.99)
    write(
        live.database, [Exposure("first", f"u{i}", "current", "current", 1, 0.0) for i in range(8)]
    )
    client = client_of(live)
    for units in (range(5), range(2, 8)):
        assert {one["arm"] for one in decide(client, units, row)} == {"current"}


def test_a_model_that_fails_leaves_the_decision_to_the_current_process(
    live: Live, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = Model.decide

    def fails(self: Model, frame: Any) -> Any:
        if (frame["year"] == 2009).any():
            raise ValueError("no")
        return sound(self, frame)

    monkeypatch.setattr(Model, "decide", fails)
    client, failing = client_of(live), {**row, "year": 2009}
    for one, by in ((row, "release"), (failing, "current"), (row, "release")):
        for answer in decide(client, range(2), one):
            assert (answer["by"], answer["fallback"]) == (by, by == "current")
    assert client.post("/predict", json=failing).status_code == 500


@pytest.mark.parametrize(
    ("task", "shadow"), [("penguins", False), ("sexes", True), ("masses", False)]
)
def test_each_kind_of_decision_is_the_releases_own_and_can_be_replayed(
    homes: dict[str, Home], task: str, tmp_path: Path, shadow: bool
) -> None:
    each = homes[task]
    with live_of(each, f"sqlite:///{tmp_path}/decisions.db") as live:
        begin(live, inclusion=0.5, shadow=shadow)
        release, client = live.model.release, client_of(live, explore=0.5)
        frame = each.inputs.head(60)
        rows, scores = as_rows(frame), release.score(frame)
        items = [{"unit": f"u{i}", "row": row} for i, row in enumerate(rows)]
        answers = pd.DataFrame(client.post("/decide", json=items).json())
        together = client.post("/predict", json=rows).json()
        assert together == [client.post("/predict", json=row).json() for row in rows]
        found, predictions = pd.json_normalize(together), pd.DataFrame(together)
        assert np.array_equal(found.filter(like="score").squeeze(), scores)
        assert predictions["decision"].tolist() == release.decide(frame, scores).tolist()
        by_release, sure = answers["by"] == "release", answers["propensity"] > 0.5
        assert answers["score"][by_release].equals(predictions["score"][by_release])
        expected = np.where(by_release, predictions["decision"], release.current(frame))
        assert answers["decision"][sure].tolist() == expected[sure].tolist()
        kinds = answers.groupby([by_release, answers["arm"], sure], dropna=False)["id"].first()
        assert len(kinds) >= 3
        for identity in kinds:
            assert replay(live.url, identity) == (f"{task}/1", [])


@pytest.mark.parametrize("serve", [False, True])
def test_a_locked_database_is_told_and_decisions_fail_as_configured(
    live: Live, row: Row, serve: bool
) -> None:
    engine, soon = live.database, "PRAGMA busy_timeout = 100"
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute(soon))
    engine.dispose()
    client = client_of(live, serve_unwritten=serve)
    assert client.get("/ready").json() == {"ready": True, "detail": ""}
    with closing(sqlite3.connect(str(engine.url.database), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        ready = client.get("/ready")
        assert ready.status_code == 503 and "is locked" in ready.json()["detail"]
        if serve:
            (answer,) = decide(client, range(1), row)
            assert (answer["by"], answer["id"], answer["fallback"]) == ("current", None, True)
        else:
            refused = client.post("/decide", json={"unit": "u1", "row": row})
            assert refused.status_code == 503 and "is locked" in refused.json()["detail"]
        assert client.post("/outcomes", json={"unit": "u1", "value": 1}).status_code == 503
        assert client.post("/predict", json=row).status_code == 200
    assert client.get("/ready").status_code == 200
    assert decide(client, range(1), row)[0]["by"] == "release"


def test_exploration_draws_its_share_and_says_the_probability() -> None:
    drawn = [deciding.explore("a", ["a", "b", "c"], 0.3) for _ in range(4000)]
    for action, share in (("a", 0.8), ("b", 0.1), ("c", 0.1)):
        said = [probability for one, probability in drawn if one == action]
        assert abs(len(said) / 4000 - share) < 0.03 and np.allclose(said, share)
    assert deciding.explore("a", ["a", "b"], 0) == ("a", 1.0)
    assert deciding.explore(3.5, [], 0.2) == (3.5, 1.0)
