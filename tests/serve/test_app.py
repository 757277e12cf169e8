"""The API scores and decides as the release does, whatever the path, each row by itself."""

import json
import re

import numpy as np
import pandas as pd
from fastapi.testclient import TestClient

from ml_workflow.serve.app import application
from ml_workflow.serve.rows import Row, as_rows
from tests.conftest import ROOT
from tests.serve.conftest import Home


def test_each_holdout_row_is_scored_and_decided_as_by_the_release(each: Home) -> None:
    release, client = each.live.model.release, TestClient(application(each.live, []))
    rows, scores = as_rows(each.inputs), release.score(each.inputs)
    together = client.post("/predict", json=rows).json()
    assert together == [client.post("/predict", json=row).json() for row in rows]
    found = pd.json_normalize(together)
    assert np.array_equal(found.filter(like="score").squeeze(), scores)
    assert found["decision"].tolist() == release.decide(each.inputs, scores).tolist()
    assert each.inputs.isna().any(axis=None)


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
