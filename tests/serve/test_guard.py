"""Keys and their scopes, the limit on bodies, and what the logs say and do not say."""

import asyncio
import json
import logging
from unittest.mock import AsyncMock, Mock

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ml_workflow.serve import guard
from ml_workflow.serve.app import application
from ml_workflow.serve.keys import keys_from
from ml_workflow.serve.model import Model
from ml_workflow.serve.rows import Row
from tests.serve.conftest import Home

ADMIN, SHOP, BOOKS = "secret-of-the-admin", "secret-of-the-shop", "secret-of-the-books"
KEYS = f"boss:admin:{ADMIN} shop:predict:{SHOP} books:outcomes:{BOOKS}"


@pytest.fixture
def guarded(home: Home) -> FastAPI:
    """The API with keys."""
    return application(home.live, keys_from(KEYS))


@pytest.mark.parametrize(
    ("key", "path", "status"),
    [
        ("", "/version", 401),
        ("wrong-but-long-enough", "/version", 401),
        (SHOP, "/version", 200),
        (SHOP, "/metrics", 403),
        (BOOKS, "/version", 403),
        (ADMIN, "/version", 200),
        (ADMIN, "/metrics", 200),
        ("", "/health", 200),
        ("", "/ready", 200),
        ("", "/docs", 200),
    ],
)
def test_a_key_opens_what_its_scopes_say(
    guarded: FastAPI, key: str, path: str, status: int
) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = TestClient(guarded).get(path, headers=headers)
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("sent", ["declared", "in pieces"])
def test_a_body_that_is_too_large_is_refused(
    client: TestClient, row: Row, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LARGEST", 2000)
    body = b" " * 3000
    content = body if sent == "declared" else iter([body[:1500], body[1500:]])
    answer = client.post("/predict", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 413 and "larger than 2,000 bytes" in answer.json()["detail"]
    assert client.post("/predict", json=row).status_code == 200


def test_logs_tell_each_request_and_no_value_of_its_row(
    guarded: FastAPI, row: Row, caplog: pytest.LogCaptureFixture
) -> None:
    client = TestClient(guarded, headers={"authorization": f"Bearer {ADMIN}"})
    with caplog.at_level(logging.INFO, "ml_workflow.serve"):
        named = {"x-request-id": "mine-1"}
        answer = client.post("/predict", json={**row, "bill_length_mm": 41.7731}, headers=named)
        client.post("/predict", json={**row, "island": "Mars-7"})
    assert answer.headers["x-request-id"] == "mine-1"
    lines = [json.loads(one.message) for one in caplog.records if one.name == "ml_workflow.serve"]
    assert [(line["status"], line["path"], line["key"]) for line in lines] == [
        (200, "/predict", "boss"),
        (422, "/predict", "boss"),
    ]
    assert lines[0]["request"] == "mine-1" and len(lines[1]["request"]) == 32
    assert all(value not in caplog.text for value in ("41.7731", "Mars-7", "Biscoe", ADMIN))


def test_a_fault_of_ours_is_said_without_its_text(
    client: TestClient,
    row: Row,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fails = Mock(side_effect=ValueError("Biscoe is the island"))
    monkeypatch.setattr(Model, "decide", fails)
    with caplog.at_level(logging.INFO, "ml_workflow.serve"):
        answer = client.post("/predict", json=row)
    assert answer.status_code == 500 and "Biscoe" not in answer.text + caplog.text
    assert answer.headers["x-request-id"] in answer.text


def test_a_client_that_hangs_up_is_no_fault_of_ours(
    api: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    kind = (b"content-type", b"application/json")
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b""}
    scope |= {"headers": [kind]}
    receive, send = AsyncMock(return_value={"type": "http.disconnect"}), AsyncMock()
    with caplog.at_level(logging.INFO):
        asyncio.run(api(scope, receive, send))
    assert not send.called and "fault" not in caplog.text
    assert json.loads(caplog.messages[-1])["status"] == 499
