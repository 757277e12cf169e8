"""The API answers what the guide shows, and no other site."""

import json
import re

from fastapi.testclient import TestClient

from ml_workflow.serve.rows import Row
from tests.conftest import ROOT


def test_the_requests_that_the_guide_shows_are_answered(client: TestClient) -> None:
    page = (ROOT / "docs" / "howto" / "serving.md").read_text(encoding="utf-8")
    request = r"^curl http://127.0.0.1:8000(/\w+) \\\n +-H 'content-type: \S+' \\\n +-d '([^']*)'$"
    shown = re.findall(request, page, re.M)
    answers = {path: client.post(path, json=json.loads(body)).json() for path, body in shown}
    assert answers["/predict"]["decision"] == answers["/decide"]["decision"] == "Adelie"
    assert answers["/decide"]["id"] and len(shown) == page.count("curl ") == 3
    assert answers["/outcomes"] == {"new": 1, "known": 0, "stray": 0, "conflict": 0}


def test_no_other_site_may_ask_from_a_browser(client: TestClient, row: Row) -> None:
    answer = client.post("/predict", json=row, headers={"origin": "https://example.com"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
