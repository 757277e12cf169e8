"""/decide writes before it answers, follows the experiment, and fails as configured; /outcomes come back to their decisions."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from ml_workflow.errors import Refusal
from ml_workflow.experiments.lifecycle import end, kill, start
from ml_workflow.model.registry import aliases
from ml_workflow.serve import reload as live_module
from ml_workflow.serve.app import application
from ml_workflow.serve.decide import explored
from ml_workflow.serve.model import Model
from ml_workflow.serve.reload import Live
from ml_workflow.serve.replay import replayed
from ml_workflow.store.committer import write
from ml_workflow.store.decisions import read_decision
from tests.serve.conftest import Home


@pytest.fixture
def live(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """What is live, with a decisions database of its own."""
    yield from alive(home, f"sqlite:///{tmp_path}/decisions.db", monkeypatch)


def alive(home: Home, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.chdir(home.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", home.env["MLFLOW_TRACKING_URI"])
    found = Live("penguins", url)
    yield found
    found.close()


def asked(
    client: TestClient, units: range, row: dict[str, Any], **headers: str
) -> list[dict[str, Any]]:
    answer = client.post(
        "/decide", json=[{"unit": f"u{i}", "row": row} for i in units], headers=headers
    )
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def test_without_an_experiment_the_champion_decides_and_it_stands_in_the_database(
    live: Live, row: dict[str, Any]
) -> None:
    client = TestClient(application(live, []))
    answer = client.post("/decide", json={"unit": "u1", "row": row}).json()
    told = client.post("/predict", json=row).json()
    assert (answer["decision"], answer["score"], answer["by"], answer["arm"]) == (
        told["decision"],
        told["score"],
        "release",
        None,
    )
    assert live.engine is not None
    kept = read_decision(live.engine, answer["id"])
    assert (kept.unit, kept.row, kept.version, kept.action) == (
        "u1",
        row,
        "penguins/1",
        told["decision"],
    )
    assert kept.score == list(told["score"].values())


def test_the_same_key_and_body_give_the_same_answer_and_another_body_409(
    live: Live, row: dict[str, Any]
) -> None:
    client = TestClient(application(live, []))
    once, again = (asked(client, range(3), row, **{"idempotency-key": "k1"}) for _ in range(2))
    assert once == again
    other = client.post(
        "/decide", json={"unit": "u9", "row": row}, headers={"idempotency-key": "k1"}
    )
    assert other.status_code == 409 and "another body" in other.json()["detail"]


@pytest.mark.parametrize("shadow", [False, True])
def test_each_unit_is_served_by_its_arm_and_keeps_it(
    live: Live, row: dict[str, Any], shadow: bool
) -> None:
    assert live.engine is not None
    start(live.engine, "first", "penguins", share=0.5, inclusion=0.8, shadow=shadow, plan={})
    live._look_up()
    client = TestClient(application(live, []))
    gentoo = {**row, "flipper_length_mm": 207, "island": "Torgersen"}  # the rule says Gentoo
    answers = asked(client, range(200), gentoo)
    arms = [a["arm"] for a in answers]
    assert (
        20 < arms.count(None) < 70
        and 50 < arms.count("current") < 110
        and 50 < arms.count("release") < 110
    )
    for a in answers:
        assert a["by"] == (
            "current" if a["arm"] and (shadow or a["arm"] == "current") else "release"
        )
        assert (a["score"] is None, a["decision"] == "Gentoo" or a["by"] == "release") == (
            a["by"] == "current",
            True,
        )
    shadowed = read_decision(
        live.engine, next(a["id"] for a in answers if a["arm"] == "release")
    ).score
    assert isinstance(shadowed, dict) == shadow
    kill(live.engine, "first")
    live._look_up()
    later = asked(
        TestClient(application(live, [])), range(200), gentoo
    )  # another process, without memory
    assert [a["arm"] for a in later] == arms and all(
        a["by"] == "current" for a in later if a["arm"]
    )
    end(live.engine, "first")
    live._look_up()
    assert {a["by"] for a in asked(client, range(200), gentoo)} == {"release"}


def test_the_current_process_decides_as_in_the_notebook(live: Live, home: Home) -> None:
    from ml_workflow.serve.rows import as_json

    assert live.engine is not None
    start(live.engine, "first", "penguins", share=0.5, inclusion=1.0, shadow=True, plan={})
    live._look_up()
    holdout, scores = (
        pd.read_parquet(home.run / "files" / f"{name}.parquet") for name in ("holdout", "scores")
    )
    rows = [
        {c.name: as_json(holdout[c.name].iloc[i]) for c in live.model.columns}
        for i in range(len(holdout))
    ]
    answers = (
        TestClient(application(live, []))
        .post("/decide", json=[{"unit": str(i), "row": row} for i, row in enumerate(rows)])
        .json()
    )
    assert [a["decision"] for a in answers] == list(scores["current_decision"])


def test_a_model_that_fails_leaves_the_decision_to_the_current_process(
    live: Live, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Any, raw: pd.DataFrame) -> None:
        if (raw["year"] == 2009).any():
            raise ValueError("no")
        return sound(self, raw)

    sound = type(live.model).decided
    monkeypatch.setattr(type(live.model), "decided", fails)
    client = TestClient(application(live, []))
    answers = [
        client.post("/decide", json={"unit": str(year), "row": {**row, "year": year}}).json()
        for year in (2008, 2009, 2007)
    ]
    assert [(a["fallback"], a["by"]) for a in answers] == [
        (False, "release"),
        (True, "current"),
        (False, "release"),
    ]
    together = asked(client, range(2), {**row, "year": 2009})
    assert [(a["fallback"], a["by"]) for a in together] == [(True, "current")] * 2
    assert client.post("/predict", json={**row, "year": 2009}).status_code == 500


@pytest.mark.parametrize("shadow", [False, True])
def test_each_kind_of_decision_can_be_replayed(
    live: Live, row: dict[str, Any], shadow: bool
) -> None:
    assert live.engine is not None
    start(live.engine, "first", "penguins", share=0.5, inclusion=0.5, shadow=shadow, plan={})
    live._look_up()
    answers = asked(TestClient(application(live, [], explore=0.5)), range(60), row)
    kinds = {(a["by"], a["arm"], a["propensity"] < 0.5): a["id"] for a in answers}
    assert len(kinds) >= 4
    for kind, identity in kinds.items():
        assert replayed(live.url, identity).differences == [], kind


def test_outcomes_are_counted_once_whatever_their_order(live: Live, row: dict[str, Any]) -> None:
    client = TestClient(application(live, []))
    known = [
        {"decision": a["id"], "value": i, "event_time": "2030-01-01T10:00:00Z"}
        for i, a in enumerate(asked(client, range(5), row))
    ]
    stray = {"unit": "nobody", "value": 1.5}
    assert client.post("/outcomes", json=[*known, stray]).json() == {
        "new": 5,
        "known": 0,
        "stray": 1,
        "conflict": 0,
    }
    assert client.post("/outcomes", json=known[::-1]).json() == {
        "new": 0,
        "known": 5,
        "stray": 0,
        "conflict": 0,
    }
    assert client.post("/outcomes", json={**known[0], "value": 7, "key": "a"}).status_code == 200
    assert client.post("/outcomes", json={"value": 1}).json()["detail"] == [
        {"row": 0, "column": "decision", "rule": "is there, or else unit"}
    ]


@pytest.mark.parametrize("serve", [False, True])
def test_a_locked_database_is_told_and_decisions_fail_as_configured(
    live: Live, row: dict[str, Any], serve: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import event

    assert live.engine is not None
    event.listen(
        live.engine,
        "connect",
        lambda connection, _: connection.execute("PRAGMA busy_timeout = 100"),
    )
    live.engine.dispose()
    client = TestClient(application(live, [], serve_unwritten=serve))
    assert client.get("/ready").json() == {"ready": True, "detail": ""}
    with closing(sqlite3.connect(str(live.engine.url.database), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        ready, decided = (
            client.get("/ready"),
            client.post("/decide", json={"unit": "u1", "row": row}),
        )
        assert ready.status_code == 503 and "is locked" in ready.json()["detail"]
        if serve:
            assert (
                decided.status_code,
                decided.json()["by"],
                decided.json()["id"],
                decided.json()["fallback"],
            ) == (200, "current", None, True)
        else:
            assert decided.status_code == 503 and "is locked" in decided.json()["detail"]
        assert client.post("/outcomes", json={"unit": "u1", "value": 1}).status_code == 503
        assert client.post("/predict", json=row).status_code == 200
    assert client.get("/ready").status_code == 200
    assert client.post("/decide", json={"unit": "u1", "row": row}).json()["by"] == "release"


def test_a_database_that_is_down_at_the_start_is_taken_once_it_is_there(
    home: Home, row: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "place").write_text("no folder")
    for live in alive(home, f"sqlite:///{tmp_path}/place/decisions.db", monkeypatch):
        client = TestClient(application(live, []))
        assert (
            client.get("/ready").status_code
            == client.post("/decide", json={"unit": "u", "row": row}).status_code
            == 503
        )
        (tmp_path / "place").unlink()
        live._look_up()
        assert (
            client.post("/decide", json={"unit": "u", "row": row}).status_code
            == client.get("/ready").status_code
            == 200
        )


def test_postgresql_takes_decisions_with_odd_texts(
    home: Home, row: dict[str, Any], postgres: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for live in alive(home, postgres(), monkeypatch):
        client = TestClient(application(live, []))
        assert asked(client, range(3), row, **{"idempotency-key": "e%20'\""}) == asked(
            client, range(3), row, **{"idempotency-key": "e%20'\""}
        )
        assert client.post("/decide", json={"unit": "u\0", "row": row}).status_code == 422
        assert client.post("/outcomes", json={"unit": "u1", "value": 2}).json()["new"] == 1


def test_exploration_draws_its_share_and_says_the_chance() -> None:
    drawn = [explored("a", ["a", "b", "c"], 0.3) for _ in range(4000)]
    shares = pd.Series([action for action, _ in drawn]).value_counts(normalize=True)
    assert abs(shares["b"] - 0.1) < 0.03 and abs(shares["a"] - 0.8) < 0.03
    assert {action: round(chance, 9) for action, chance in drawn} == {"a": 0.8, "b": 0.1, "c": 0.1}
    assert explored("a", ["a", "b"], 0) == ("a", 1.0) and np.isclose(explored(3.5, [], 0.2)[1], 1)


def test_an_arm_that_stands_wins_over_the_hash(live: Live, row: dict[str, Any]) -> None:
    from ml_workflow.store.decisions import Exposure

    assert live.engine is not None
    start(live.engine, "first", "penguins", share=0.99, inclusion=1.0, shadow=False, plan={})
    write(
        live.engine, [[Exposure("first", f"u{i}", "current", "current", 1, 0.0) for i in range(5)]]
    )
    live._look_up()
    assert [a["arm"] for a in asked(TestClient(application(live, [])), range(5), row)] == [
        "current"
    ] * 5


def test_a_challenger_that_cannot_be_loaded_leaves_the_champion_serving(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, known = live_module.loaded, aliases("penguins")

    def loaded(task: str, number: str) -> Model:
        if number == "99":
            raise Refusal("Release 99 needs a library that is not here.")
        return whole(task, number)

    monkeypatch.setattr(live_module, "loaded", loaded)
    monkeypatch.setattr(live_module, "aliases", lambda task: {**known, "challenger": "99"})
    begun = Live("penguins", live.url)
    assert begun.champion and begun.challenger is None and "library" in begun.registry_fault
    monkeypatch.setattr(live_module, "aliases", lambda task: {"champion": "99"})
    with pytest.raises(Refusal, match="library"):
        Live("penguins", live.url)
    begun.close()
