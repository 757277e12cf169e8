"""OpenAPI says what the API takes: exact to the contract, and followed by every answer."""

from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings

from ml_workflow.serve.app import application
from tests.serve.conftest import Home


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
