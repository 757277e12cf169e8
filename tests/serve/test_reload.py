"""What serves follows the registry and the database, and outlives what is wrong with them."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from ml_workflow.errors import Refusal
from ml_workflow.model.registry import aliases
from ml_workflow.serve import reload
from ml_workflow.serve.app import application
from ml_workflow.serve.model import Model
from ml_workflow.serve.reload import Live
from ml_workflow.serve.rows import Row
from tests.serve.conftest import Home, live_of


def test_a_database_that_is_down_at_the_start_is_taken_once_it_is_there(
    home: Home, row: Row, tmp_path: Path
) -> None:
    (tmp_path / "place").write_text("no folder")
    with live_of(home, f"sqlite:///{tmp_path}/place/decisions.db") as live:
        client, item = TestClient(application(live, [])), {"unit": "u", "row": row}
        assert client.get("/ready").status_code == 503
        for path, body in (("/decide", item), ("/outcomes", {"unit": "u", "value": 1})):
            assert client.post(path, json=body).status_code == 503
        (tmp_path / "place").unlink()
        live.look_up_experiment()
        assert client.post("/decide", json=item).status_code == 200
        assert client.get("/ready").status_code == 200


def test_a_challenger_that_cannot_be_loaded_leaves_the_champion_serving(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, known = reload.load_model, aliases("penguins")

    def load_model(task: str, number: str) -> Model:
        if number == "99":
            raise Refusal("Release 99 needs a library that is not here.")
        return sound(task, number)

    monkeypatch.setattr(reload, "load_model", load_model)
    monkeypatch.setattr(reload, "aliases", lambda task: {**known, "challenger": "99"})
    live.look_up_versions()
    assert live.champion and live.challenger is None and "library" in live.registry_fault
    monkeypatch.setattr(reload, "aliases", lambda task: {"champion": "99"})
    live.look_up_versions()
    assert live.champion and "library" in live.registry_fault
    with pytest.raises(Refusal, match="library"):
        Live("penguins", live.url)
    monkeypatch.setattr(reload, "aliases", lambda task: {})
    with pytest.raises(Refusal, match="promote one"):
        Live("penguins", live.url)
