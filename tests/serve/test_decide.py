"""/decide writes before it answers, follows the experiment, and fails as configured."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from ml_workflow.experiments.lifecycle import end, kill, start
from ml_workflow.serve.app import application
from ml_workflow.serve.decide import explore
from ml_workflow.serve.model import Model
from ml_workflow.serve.reload import Live
from ml_workflow.serve.replay import replay
from ml_workflow.serve.rows import Row
from ml_workflow.store.committer import write
from ml_workflow.store.decisions import Exposure, read_decision
from tests.serve.conftest import Home, as_rows, live_of


def client_of(live: Live, **options: Any) -> TestClient:
    return TestClient(application(live, [], **options))


def decide(client: TestClient, units: range, row: Row, key: str = "") -> list[dict[str, Any]]:
    """The answers to units that share a row."""
    items = [{"unit": f"u{i}", "row": row} for i in units]
    answer = client.post("/decide", json=items, headers={"idempotency-key": key})
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def begin(live: Live, **settings: Any) -> None:
    """Start the experiment `first`, and look it up."""
    assert live.engine is not None
    start(live.engine, "first", live.task, **{"share": 0.5, "inclusion": 1.0} | settings)
    live.look_up_experiment()


def test_without_an_experiment_the_champion_decides_and_it_stands_in_the_database(
    live: Live, row: Row
) -> None:
    client = client_of(live)
    answer = client.post("/decide", json={"unit": "u1", "row": row}).json()
    prediction = client.post("/predict", json=row).json()
    assert (answer["decision"], answer["score"]) == (prediction["decision"], prediction["score"])
    assert (answer["by"], answer["arm"]) == ("release", None)
    assert live.engine is not None
    past = read_decision(live.engine, answer["id"])
    assert (past.unit, past.row, past.version) == ("u1", row, "penguins/1")
    assert (past.action, past.score) == (answer["decision"], list(answer["score"].values()))


def test_the_same_key_and_body_give_the_same_answer_and_another_body_409(
    live: Live, row: Row
) -> None:
    client = client_of(live)
    assert decide(client, range(3), row, "k1") == decide(client, range(3), row, "k1")
    other = {"json": {"unit": "u9", "row": row}, "headers": {"idempotency-key": "k1"}}
    refused = client.post("/decide", **other)
    assert refused.status_code == 409 and "another body" in refused.json()["detail"]
    other["headers"] = {"idempotency-key": "k" * 201}
    assert client.post("/decide", **other).status_code == 400


@pytest.mark.parametrize("shadow", [False, True])
def test_each_unit_is_served_by_its_arm_and_keeps_it(live: Live, row: Row, shadow: bool) -> None:
    begin(live, inclusion=0.8, shadow=shadow)
    client, engine = client_of(live), live.engine
    assert engine is not None
    gentoo = {**row, "flipper_length_mm": 207, "island": "Torgersen"}  # the rule says Gentoo
    answers = decide(client, range(200), gentoo)
    arms = [one["arm"] for one in answers]
    assert 20 < arms.count(None) < 70 and 50 < arms.count("current") < 110
    for one in answers:
        by_current = one["arm"] == "current" or (one["arm"] == "release" and shadow)
        assert one["by"] == ("current" if by_current else "release")
        assert (one["score"] is None) == by_current
        assert one["decision"] == "Gentoo" or not by_current
    scored = next(one["id"] for one in answers if one["arm"] == "release")
    assert isinstance(read_decision(engine, scored).score, dict) == shadow
    kill(engine, "first")
    live.look_up_experiment()
    later = decide(client_of(live), range(200), gentoo)  # another process, without memory
    assert [one["arm"] for one in later] == arms
    assert {one["by"] for one in later if one["arm"]} == {"current"}
    end(engine, "first")
    live.look_up_experiment()
    assert {one["by"] for one in decide(client, range(200), gentoo)} == {"release"}


def test_an_arm_that_stands_wins_over_the_hash(live: Live, row: Row) -> None:
    begin(live, share=0.99)
    assert live.engine is not None
    exposures = [Exposure("first", f"u{i}", "current", "current", 1, 0.0) for i in range(5)]
    write(live.engine, [exposures])
    arms = [one["arm"] for one in decide(client_of(live), range(5), row)]
    assert arms == ["current"] * 5


def test_a_model_that_fails_leaves_the_decision_to_the_current_process(
    live: Live, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = Model.decide

    def fails(self: Model, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        if (frame["year"] == 2009).any():
            raise ValueError("no")
        return sound(self, frame)

    monkeypatch.setattr(Model, "decide", fails)
    client = client_of(live)
    failing = {**row, "year": 2009}
    answers = [decide(client, range(1), one)[0] for one in (row, failing, row)]
    assert [one["fallback"] for one in answers] == [False, True, False]
    assert [one["by"] for one in answers] == ["release", "current", "release"]
    together = decide(client, range(2), failing)
    assert [(one["fallback"], one["by"]) for one in together] == [(True, "current")] * 2
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
        frame = each.holdout[[field.name for field in live.model.rows.fields]].head(60)
        items = [{"unit": f"u{i}", "row": row} for i, row in enumerate(as_rows(frame))]
        answers = client.post("/decide", json=items).json()
        today, best = release.current(frame), release.decide(frame, release.score(frame))
        for i, one in enumerate(answers):
            if one["by"] == "current":
                assert one["decision"] == today[i]
            elif one["propensity"] > 0.5:
                assert one["decision"] == best[i]
        kinds = {(one["by"], one["arm"], one["propensity"] < 0.5): one["id"] for one in answers}
        assert len(kinds) >= 3
        for kind, identity in kinds.items():
            assert replay(live.url, identity).differences == [], kind


@pytest.mark.parametrize("serve", [False, True])
def test_a_locked_database_is_told_and_decisions_fail_as_configured(
    live: Live, row: Row, serve: bool
) -> None:
    engine = live.engine
    assert engine is not None
    soon = "PRAGMA busy_timeout = 100"
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute(soon))
    engine.dispose()
    client, item = client_of(live, serve_unwritten=serve), {"unit": "u1", "row": row}
    assert client.get("/ready").json() == {"ready": True, "detail": ""}
    with closing(sqlite3.connect(str(engine.url.database), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        ready, decided = client.get("/ready"), client.post("/decide", json=item)
        assert ready.status_code == 503 and "is locked" in ready.json()["detail"]
        if serve:
            answer = decided.json()
            assert (answer["by"], answer["id"], answer["fallback"]) == ("current", None, True)
        else:
            assert decided.status_code == 503 and "is locked" in decided.json()["detail"]
        assert client.post("/outcomes", json={"unit": "u1", "value": 1}).status_code == 503
        assert client.post("/predict", json=row).status_code == 200
    assert client.get("/ready").status_code == 200
    assert client.post("/decide", json=item).json()["by"] == "release"


def test_postgresql_takes_decisions_with_odd_texts(
    home: Home, row: Row, postgres: Callable[[], str]
) -> None:
    with live_of(home, postgres()) as live:
        client = client_of(live)
        first, again = (decide(client, range(3), row, "e%20'\"") for _ in range(2))
        assert first == again
        assert client.post("/decide", json={"unit": "u\0", "row": row}).status_code == 422
        assert client.post("/outcomes", json={"unit": "u1", "value": 2}).json()["new"] == 1


def test_exploration_draws_its_share_and_says_the_probability() -> None:
    drawn = [explore("a", ["a", "b", "c"], 0.3) for _ in range(4000)]
    shares = pd.Series([action for action, _ in drawn]).value_counts(normalize=True)
    assert abs(shares["b"] - 0.1) < 0.03 and abs(shares["a"] - 0.8) < 0.03
    assert {action: round(share, 9) for action, share in drawn} == {"a": 0.8, "b": 0.1, "c": 0.1}
    assert explore("a", ["a", "b"], 0) == ("a", 1.0) and explore(3.5, [], 0.2) == (3.5, 1.0)
