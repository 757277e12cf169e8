"""Keys and their scopes, the limit on bodies, and what the logs say and do not say."""

import asyncio
import json
import logging
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ml_workflow.errors import Refusal
from ml_workflow.serve.app import Limits, application
from ml_workflow.serve.keys import check_open, keys_from
from tests.conftest import workflow
from tests.serve.conftest import ADMIN, Home


@pytest.mark.parametrize(
    ("key", "path", "status"),
    [
        ("", "/version", 401),
        ("wrong-but-long-enough", "/version", 401),
        ("secret-of-the-shop", "/version", 200),
        ("secret-of-the-shop", "/metrics", 403),
        ("secret-of-the-books", "/version", 403),
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
    answer = TestClient(guarded).get(
        path, headers={"authorization": f"Bearer {key}"} if key else {}
    )
    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize(
    "text",
    [
        "shop",
        "shop:predict",
        "shop:predict:short",
        "shop:all:long-enough-to-be-one",
        "s p:predict:long-enough-to-be-one",
    ],
)
def test_a_key_that_is_written_wrongly_is_refused_without_being_said(text: str) -> None:
    with pytest.raises(Refusal, match="entry 1: write name:scope") as refused:
        keys_from(text)
    assert "long-enough" not in str(refused.value)


def test_without_keys_only_this_machine_is_served(home: Home) -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        check_open([], host)
    done = workflow(
        "serve",
        "penguins",
        "--host",
        "0.0.0.0",
        env={k: v for k, v in home.env.items() if k != "ML_WORKFLOW_KEYS"},
        cwd=home.folder,
    )
    assert (
        done.returncode == 2
        and done.stderr.startswith("Without keys the API serves this machine only")
        and done.stderr.count("\n") == 1
    )


@pytest.mark.parametrize("sent", ["declared", "in pieces"])
def test_a_body_that_is_too_large_is_refused(home: Home, row: dict[str, Any], sent: str) -> None:
    client = TestClient(application(home.live, [], Limits(body=2000)))
    body = b" " * 3000
    answer = client.post(
        "/predict",
        content=body if sent == "declared" else iter([body[:1500], body[1500:]]),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 413 and "larger than 2,000 bytes" in answer.json()["detail"]
    assert client.post("/predict", json=row).status_code == 200


def test_logs_tell_each_request_and_no_value_of_its_row(
    guarded: FastAPI, row: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    client = TestClient(guarded, headers={"authorization": f"Bearer {ADMIN}"})
    with caplog.at_level(logging.INFO, "ml_workflow.serve"):
        assert (
            client.post(
                "/predict",
                json={**row, "bill_length_mm": 41.7731},
                headers={"x-request-id": "mine-1"},
            ).headers["x-request-id"]
            == "mine-1"
        )
        client.post("/predict", json={**row, "island": "Mars-7"})
    lines = [
        json.loads(record.message)
        for record in caplog.records
        if record.name == "ml_workflow.serve"
    ]
    assert [(line["status"], line["path"], line["key"]) for line in lines] == [
        (200, "/predict", "boss"),
        (422, "/predict", "boss"),
    ]
    assert lines[0]["request"] == "mine-1" and len(lines[1]["request"]) == 32
    assert all(value not in caplog.text for value in ("41.7731", "Mars-7", "Biscoe", ADMIN))


def test_a_fault_of_ours_is_said_without_its_text(
    api: FastAPI,
    home: Home,
    row: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_: Any) -> None:
        raise ValueError("Biscoe is the island")

    monkeypatch.setattr(type(home.live.model), "decided", fails)
    with caplog.at_level(logging.INFO, "ml_workflow.serve"):
        answer = TestClient(api).post("/predict", json=row)
    assert (
        answer.status_code == 500
        and "Biscoe" not in answer.text + caplog.text
        and answer.headers["x-request-id"] in answer.text
    )


def test_no_other_site_may_ask_from_a_browser(api: FastAPI, row: dict[str, Any]) -> None:
    answer = TestClient(api).post("/predict", json=row, headers={"origin": "https://example.com"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_client_that_hangs_up_is_no_fault_of_ours(
    guarded: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    headers = [
        (b"authorization", f"Bearer {ADMIN}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", b"100"),
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/predict",
        "raw_path": b"/predict",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
    }
    sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    with caplog.at_level(logging.INFO):
        asyncio.run(guarded(scope, receive, send))
    assert (
        sent == []
        and json.loads(caplog.messages[-1])["status"] == 499
        and "fault" not in caplog.text
    )
