"""The API: its addresses, each a few lines over the model that serves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import prometheus_client
import swagger_ui
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from prometheus_client import multiprocess
from pydantic_core import from_json, to_json

from .groups import Groups
from .guard import Guard
from .keys import Key
from .model import Champion, Model
from .openapi import document
from .rows import Row, faults

SHOWN = 100
"""Faults of a body that are named; their number is said."""
LARGE = 65_536
"""Bytes from which a body is read in a thread, so that other requests go on."""


@dataclass(frozen=True)
class Limits:
    """The most bytes of a body, and rows of a request."""

    body: int = 16_000_000
    batch: int = 10_000


def application(champion: Champion, keys: list[Key], limits: Limits | None = None) -> FastAPI:
    """The API over a champion, to be served by any ASGI server."""
    limits, groups = limits or Limits(), Groups()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        champion.follow()
        yield
        champion.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(Guard, keys=keys, largest=limits.body)

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        model = champion.model
        body, rows = await sound(request, model, limits.batch)
        answers = await groups(model.answers, rows)
        return json_of(answers[0] if isinstance(body, dict) else answers)

    @app.get("/version")
    async def version() -> Response:
        model = champion.model
        return json_of({"task": model.name, "version": model.version, "digest": model.release.digest, "run": model.release.card["run"], "path": model.path})

    @app.get("/health")
    async def health() -> Response:
        return json_of({"status": "ok"})

    @app.get("/ready")
    async def ready() -> Response:
        return json_of({"ready": True, "detail": champion.fault})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(figures(), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    @app.get("/openapi.json")
    async def openapi() -> Response:
        return json_of(document(champion.model, limits.batch, bool(keys)))

    @app.get("/docs")
    async def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="openapi.json", title=champion.name, swagger_js_url="docs/swagger-ui-bundle.js", swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="data:,", swagger_ui_parameters={"validatorUrl": None})  # fmt: skip

    app.mount("/docs", StaticFiles(directory=Path(swagger_ui.__file__).parent / "static"))
    return app


def json_of(content: Any, status: int = 200) -> Response:
    """A response of JSON."""
    return Response(to_json(content), status, media_type="application/json")


def figures() -> bytes:
    """This service's figures for Prometheus, of all its processes."""
    import os

    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return prometheus_client.generate_latest()
    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return prometheus_client.generate_latest(registry)


async def sound(request: Request, model: Model, batch: int) -> tuple[Any, list[Row]]:
    """A request's body, and its rows, which keep the contract."""
    raw = await content(request)
    if len(raw) < LARGE:
        return read_rows(raw, model, batch)
    return await asyncio.to_thread(read_rows, raw, model, batch)


async def content(request: Request) -> bytes:
    """A request's body, which says that it is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "Send JSON: Content-Type: application/json.")
    return await request.body()


def read(raw: bytes) -> Any:
    """What a body of JSON says; no NaN, no infinity."""
    try:
        return from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise HTTPException(400, f"The body is no JSON: {error}.") from None


def read_rows(raw: bytes, model: Model, batch: int) -> tuple[Any, list[Row]]:
    """A body and its rows, or every fault of them."""
    body = read(raw)
    rows = [body] if isinstance(body, dict) else body
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise HTTPException(422, "Send a row, an object by column, or a list of rows.")
    if len(rows) > batch:
        raise HTTPException(422, f"These are {len(rows):,} rows; send at most {batch:,} at a time.")
    check(model, rows)
    return body, rows


def check(model: Model, rows: list[Row]) -> None:
    """Refuse rows that break the contract, naming every fault by row, column and rule, and no value."""
    found: list[dict[str, Any]] = []
    for i, row in enumerate(rows):
        if broken := faults(model.columns, row):
            found += [{"row": i, "column": column, "rule": rule} for column, rule in broken]
    if found:
        raise HTTPException(422, found)
