"""OpenAPI says beforehand what the API takes: exact to the contract, and followed by every answer."""

from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings

from ml_workflow.serve.app import application
from tests.serve.conftest import Home


def test_openapi_holds_every_column_with_its_rules(home: Home, client: TestClient) -> None:
    row = client.get("/openapi.json").json()["components"]["schemas"]["Row"]
    contract = home.live.model.release.contract
    assert list(row["properties"]) == list(contract) == row["required"]
    for name, column in contract.columns.items():
        schema = row["properties"][name]
        assert (schema.get("minimum"), schema.get("maximum")) == (column.min, column.max)
        assert set(column.categories or []) == set(schema.get("enum", [])) - {None}
        assert (schema["type"] == [*schema["type"][:1], "null"]) == column.nullable
        assert schema["examples"]


def without_end(app: FastAPI) -> Any:
    """The API without its end: schemathesis would end after each test what all tests share."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await app(scope, receive, send)

    return answer


@pytest.mark.parametrize(
    "operation", ["predict", "decide", "outcomes", "version", "health", "ready"]
)
def test_nothing_that_schemathesis_sends_breaks_the_api_or_its_schema(
    each: Home, operation: str
) -> None:
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", without_end(application(each.live, []))
    )
    described = schema.find_operation_by_id(operation)
    negative = described.as_strategy(schemathesis.GenerationMode.NEGATIVE)

    @given(case=described.as_strategy() | negative)
    @settings(
        max_examples=30,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def call(case: Any) -> None:
        case.call_and_validate()

    call()
