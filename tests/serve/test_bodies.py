"""A body that is wrong gets an answer that says what is wrong, and none of its values."""

import pytest
from fastapi.testclient import TestClient

from ml_workflow.serve.bodies import timestamp
from ml_workflow.serve.rows import Row

NESTED = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("body", "kind", "status", "sentence"),
    [
        ("{", "application/json", 400, "no JSON"),
        ('{"year": NaN}', "application/json", 400, "no JSON"),
        ('{"year": Infinity}', "application/json", 400, "no JSON"),
        ('[{"more": NaN}]', "application/json", 400, "no JSON"),
        ("[-Infinity]", "application/json", 400, "no JSON"),
        (NESTED, "application/json", 400, "no JSON"),
        ("\xff\xfe", "application/json", 400, "no JSON"),
        ("null", "application/json", 422, "Send an object"),
        ("[]", "application/json", 422, "Send an object"),
        ("[[1]]", "application/json", 422, "Send an object"),
        ("{}", "text/plain", 415, "Send JSON"),
        ("{}", "multipart/form-data; boundary=x", 415, "Send JSON"),
        (f'{{"year": {"9" * 400}}}', "application/json", 422, "is from 2006 to 2010"),
        ('{"year": 1e999}', "application/json", 422, "is from 2006 to 2010"),
        ("[" + ",".join(["{}"] * 10_001) + "]", "application/json", 422, "at most 10,000"),
    ],
)
def test_a_wrong_body_gets_its_own_answer(
    client: TestClient, row: Row, body: str, kind: str, status: int, sentence: str
) -> None:
    headers = {"content-type": kind}
    answer = client.post("/predict", content=body.encode("latin-1"), headers=headers)
    assert (answer.status_code, sentence in answer.text) == (status, True), answer.text[:500]
    assert client.post("/predict", json=row).status_code == 200


def test_a_row_is_told_all_its_faults_and_no_values(client: TestClient, row: Row) -> None:
    answer = client.post("/predict", json=[row, {**row, "island": "Mars-7", "year": 1}])
    assert answer.status_code == 422 and "Mars-7" not in answer.text
    assert answer.json()["detail"] == [
        {"row": 1, "column": "island", "rule": "is one of 3 categories"},
        {"row": 1, "column": "year", "rule": "is from 2006 to 2010"},
    ]


def test_items_and_outcomes_are_told_their_own_faults(client: TestClient, row: Row) -> None:
    name = "is text of 1 to 200 characters"
    wrong = {**row, "sex": 1}
    items = [{"unit": "", "row": row}, {"unit": "a", "row": 1}, {"unit": "a", "row": wrong}]
    faults = client.post("/decide", json=items).json()["detail"]
    assert faults[:2] == [
        {"row": 0, "column": "unit", "rule": name},
        {"row": 1, "column": "row", "rule": "is an object by column"},
    ]
    assert [fault["column"] for fault in faults if fault["row"] == 2] == ["sex", "sex"]
    outcomes = [{"value": True, "event_time": "soon"}, {"value": 1, "unit": "u", "key": "\0"}]
    assert client.post("/outcomes", json=outcomes).json()["detail"] == [
        {"row": 0, "column": "value", "rule": "is a number"},
        {"row": 0, "column": "event_time", "rule": "is a moment in ISO 8601"},
        {"row": 0, "column": "decision", "rule": "is there, or else unit"},
        {"row": 1, "column": "key", "rule": name},
    ]


def test_a_time_without_an_offset_is_utc() -> None:
    assert timestamp("1970-01-01T01:00:00") == timestamp("1970-01-01T02:00:00+01:00") == 3600
