"""What the API refuses is what the contract refuses, and OpenAPI says so beforehand."""

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings

from ml_workflow.data.corruptions import CORRUPTIONS, Columns
from ml_workflow.serve.rows import Column, Quick, as_json, faults
from tests.conftest import ROOT
from tests.serve.conftest import Home


def test_rows_have_the_faults_that_pandera_finds(home: Home) -> None:
    model = home.live.model
    breaches = model.release._module("dataset").breaches
    holdout = pd.read_parquet(home.run / "files" / "holdout.parquet")
    rows = [
        {name: value for name, value in row.items() if name in model.release.contract}
        for row in broken_rows(holdout, model.release.task())
    ]
    wrong: list[tuple[int, str, str]] = []
    for i, known in enumerate(rows):
        table = breaches(model.release.contract, pd.DataFrame([known]))
        expected = set(zip(table["column"], table["rule"], strict=True))
        found = list(faults(model.columns, [known]))
        assert {fault[1:] for fault in found} == expected, known
        assert not (model.quick.keeps([known]) and found), known
        wrong += [(i, column, rule) for _, column, rule in found]
    assert list(faults(model.columns, rows)) == wrong and len({i for i, _, _ in wrong}) > 100
    assert model.quick.keeps(rows[:12])


RULES: list[dict[str, Any]] = [
    {"type": "integer", "min": -1.5, "max": 5},
    {"type": "integer"},
    {"type": "number", "min": 0, "max": 5},
    {"type": "number"},
    {"type": "boolean"},
    {"type": "time"},
    {"type": "text"},
    {"type": "text", "categories": ["a", "5"]},
]
VALUES = [
    0,
    5,
    6,
    -1,
    -2,
    5.0,
    5.5,
    -0.0,
    1e300,
    10**400,
    True,
    False,
    "a",
    "b",
    "5",
    "",
    "2020-02-29",
    "2021-02-29",
    "2021-02-28T24:00",
    [],
    {},
    None,
]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("nullable", [True, False])
def test_the_quick_check_of_many_rows_agrees_with_the_one_that_says_why(
    rule: dict[str, Any], nullable: bool
) -> None:
    columns = [
        Column("x", rule | {"nullable": nullable}, np.dtype(object)),
        Column("y", {"type": "text", "nullable": True}, np.dtype(object), required=False),
    ]
    quick = Quick(columns)
    for row in [{"x": value} for value in VALUES] + [
        {"y": "a"},
        {"x": VALUES[0], "y": 1},
        {"x": VALUES[0], "z": 1},
    ]:
        doubtful = rule["type"] == "integer" and not nullable and isinstance(row.get("x"), float)
        sound = not doubtful and not list(faults(columns, [row]))
        assert quick.keeps([row, row]) == sound, row
        known = {name: value for name, value in row.items() if name != "z"}
        assert quick.read(json.dumps([row]).encode()) == ([known] if sound else None), row
    assert (
        quick.read(b'[{"x": 0, "z": NaN}]') is None
        and quick.read(b'[{"x": 0, "z": -Infinity}]') is None
        and quick.read(b"[") is None
    )


def test_a_range_without_an_end_can_be_checked() -> None:
    assert Quick(
        [
            Column(
                "x",
                {"type": "number", "nullable": False, "min": 0.0, "max": np.inf},
                np.dtype(float),
            )
        ]
    ).keeps([{"x": 1e300}])


def broken_rows(holdout: pd.DataFrame, task: Any) -> list[dict[str, Any]]:
    """The holdout's first rows as they are and as each corruption leaves them, as JSON would bring them."""
    inputs = holdout.drop(columns=[task.unit, task.target.column])
    numeric = list(map(str, inputs.select_dtypes("number")))
    columns = Columns(
        numeric,
        [str(c) for c in inputs if c not in numeric],
        [],
        task.unit,
        task.target.column,
        holdout,
    )
    tables = [holdout.head(12)]
    for corrupt in CORRUPTIONS.values():
        broken = corrupt(holdout.head(12), columns, np.random.default_rng(0))
        tables += [] if broken is None else [broken.head(12)]
    return [
        {str(name): as_json(value) for name, value in row.items()}
        for table in tables
        for row in table.to_dict("records")
    ]


def test_openapi_holds_every_column_with_its_rules(home: Home, api: FastAPI) -> None:
    found = TestClient(api).get("/openapi.json").json()["components"]["schemas"]["Row"]
    contract = home.live.model.release.contract
    assert list(found["properties"]) == list(contract) == found["required"]
    for name, rule in contract.items():
        column = found["properties"][name]
        assert (column.get("minimum"), column.get("maximum")) == (rule.get("min"), rule.get("max"))
        assert set(rule.get("categories", [])) == set(column.get("enum", [])) - {None}
        assert (column["type"] == [*column["type"][:1], "null"]) == rule["nullable"]
        assert column["examples"]


def lasting(app: FastAPI) -> Any:
    """The API without its end: schemathesis would end after each test what all tests share."""

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await app(scope, receive, send)

    return asked


@pytest.mark.parametrize(
    "operation", ["predict", "decide", "outcomes", "version", "health", "ready"]
)
def test_nothing_that_schemathesis_sends_breaks_the_api_or_its_schema(
    api: FastAPI, operation: str
) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", lasting(api)).find_operation_by_id(
        operation
    )

    @given(
        case=described.as_strategy() | described.as_strategy(schemathesis.GenerationMode.NEGATIVE)
    )
    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def sent(case: Any) -> None:
        case.call_and_validate()

    sent()


NESTED = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        ("{", "application/json", 400, "no JSON"),
        ('{"year": NaN}', "application/json", 400, "no JSON"),
        ('{"year": Infinity}', "application/json", 400, "no JSON"),
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
    api: FastAPI, row: dict[str, Any], body: str, kind: str, status: int, said: str
) -> None:
    client = TestClient(api)
    answer = client.post("/predict", content=body.encode("latin-1"), headers={"content-type": kind})
    assert (answer.status_code, said in answer.text) == (status, True), answer.text[:500]
    assert client.post("/predict", json=row).status_code == 200


def test_a_row_is_told_all_its_faults_and_no_values(api: FastAPI, row: dict[str, Any]) -> None:
    answer = TestClient(api).post("/predict", json=[row, {**row, "island": "Mars-7", "year": 1}])
    assert answer.status_code == 422 and "Mars-7" not in answer.text
    assert answer.json()["detail"] == [
        {"row": 1, "column": "island", "rule": "is one of 3 categories"},
        {"row": 1, "column": "year", "rule": "is from 2006 to 2010"},
    ]


def test_the_requests_that_the_guide_shows_are_answered(api: FastAPI) -> None:
    page = (ROOT / "docs" / "howto" / "serving.md").read_text(encoding="utf-8")
    client, shown = (
        TestClient(api),
        re.findall(
            r"^curl http://127.0.0.1:8000(/\w+) \\\n    -H 'content-type: application/json' \\\n    -d '([^']*)'$",
            page,
            re.M,
        ),
    )
    answers = {
        address: client.post(address, json=json.loads(body)).json() for address, body in shown
    }
    assert (
        answers["/predict"]["decision"] == answers["/decide"]["decision"] == "Adelie"
        and answers["/decide"]["id"]
    )
    assert (
        answers["/outcomes"] == {"new": 1, "known": 0, "stray": 0, "conflict": 0}
        and len(shown) == page.count("curl ") == 3
    )


def test_several_rows_are_answered_in_their_order(api: FastAPI, row: dict[str, Any]) -> None:
    client = TestClient(api)
    rows = [
        {**row, "year": year, "bill_length_mm": length}
        for year in (2007, 2009)
        for length in (35, 45, 55)
    ]
    assert json.dumps(client.post("/predict", json=rows).json()) == json.dumps(
        [client.post("/predict", json=r).json() for r in rows]
    )
