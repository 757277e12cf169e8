"""The API: its addresses, each a few lines over the model that serves."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import prometheus_client
import swagger_ui
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from prometheus_client import multiprocess
from pydantic_core import from_json, to_json

from ..store.database import Unavailable
from ..store.decisions import Conflict, Outcome, keep_outcomes
from .batching import Groups
from .decide import Deciding, Item, answer
from .guard import Guard
from .keys import Key
from .model import Model
from .openapi import document
from .reload import Live
from .rows import Fault, Row, faults, is_time

LARGE = 65_536
"""Bytes from which a body is read in a thread, so that other requests go on."""


class Rule(NamedTuple):
    """What holds for one property of a body."""

    said: str
    holds: Callable[[Any], bool]
    optional: bool = False


def is_name(value: Any) -> bool:
    """Whether a value is a text of 1 to 200 characters, none of them NUL."""
    return isinstance(value, str) and 0 < len(value) <= 200 and "\0" not in value


NAME = "is text of 1 to 200 characters"
ITEM = {
    "unit": Rule(NAME, is_name),
    "row": Rule("is an object by column", lambda value: isinstance(value, dict)),
}
OUTCOME = {
    "value": Rule("is a number", lambda value: type(value) in (int, float) and abs(value) <= 1e300),
    "event_time": Rule(
        "is a moment in ISO 8601", lambda value: value is None or is_time(value), True
    ),
    **{
        name: Rule(NAME, lambda value: value is None or is_name(value), True)
        for name in ("decision", "unit", "key")
    },
}


@dataclass(frozen=True)
class Limits:
    """The most bytes of a body, and rows of a request."""

    body: int = 16_000_000
    batch: int = 10_000


def application(
    live: Live,
    keys: list[Key],
    limits: Limits | None = None,
    explore: float = 0.0,
    serve_unwritten: bool = False,
) -> FastAPI:
    """The API over what is live, to be served by any ASGI server."""
    limits, groups = limits or Limits(), Groups()
    deciding = Deciding(live, groups, explore, serve_unwritten)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        live.follow()
        yield
        live.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(Guard, keys=keys, largest=limits.body)

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        model = live.model
        body, rows = await sound(request, model, limits.batch)
        answers = await groups(model.answers, rows)
        return json_of(answers[0] if isinstance(body, dict) else answers)

    @app.post("/decide")
    async def decide(request: Request) -> Response:
        raw = await content(request)
        body, items = (
            await asyncio.to_thread(read_items, raw, live, limits.batch)
            if len(raw) > LARGE
            else read_items(raw, live, limits.batch)
        )
        key = request.headers.get("idempotency-key", "")
        if len(key) > 200:
            raise HTTPException(
                400, "The header Idempotency-Key is longer than 200 characters: give a shorter one."
            )
        try:
            made = await deciding(items, key, hashlib.sha256(raw).hexdigest())
        except Conflict as conflict:
            raise HTTPException(409, str(conflict)) from None
        except Unavailable as fault:
            raise HTTPException(503, str(fault)) from None
        answers = [answer(live.model, decision) for decision in made]
        return json_of(answers[0] if isinstance(body, dict) else answers)

    @app.post("/outcomes")
    async def outcomes(request: Request) -> Response:
        given = read_outcomes(await content(request), limits.batch)
        if live.engine is None:
            raise HTTPException(503, live.fault)
        try:
            counts = await asyncio.to_thread(keep_outcomes, live.engine, given)
        except Unavailable as fault:
            raise HTTPException(503, str(fault)) from None
        return json_of(counts._asdict())

    @app.get("/version")
    async def version() -> Response:
        model = live.model
        return json_of(
            {
                "task": model.name,
                "version": model.version,
                "digest": model.release.digest,
                "run": model.release.card["run"],
                "path": model.path,
            }
        )

    @app.get("/health")
    async def health() -> Response:
        return json_of({"status": "ok"})

    @app.get("/ready")
    async def ready() -> Response:
        fault = await asyncio.to_thread(live.ready)
        return json_of(
            {"ready": not fault, "detail": fault or live.registry_fault}, 503 if fault else 200
        )

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(figures(), media_type=prometheus_client.CONTENT_TYPE_LATEST)

    @app.get("/openapi.json")
    async def openapi() -> Response:
        return json_of(document(live.model, limits.batch, bool(keys)))

    @app.get("/docs")
    async def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=live.task,
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="data:,",
            swagger_ui_parameters={"validatorUrl": None},
        )

    app.mount("/docs", StaticFiles(directory=Path(swagger_ui.__file__).parent / "static"))
    return app


def json_of(content: Any, status: int = 200) -> Response:
    """A response of JSON."""
    return Response(to_json(content), status, media_type="application/json")


def figures() -> bytes:
    """This service's figures for Prometheus, of all its processes."""
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
    found = model.quick.read(raw)
    body = read(raw) if found is None else found
    rows = several(body, batch)
    if found is None:
        refuse(faults(model.columns, rows))
    return body, rows


def read_items(raw: bytes, live: Live, batch: int) -> tuple[Any, list[Item]]:
    """A body of units with their rows, which keep the contract of every version that may decide."""
    body = read(raw)
    given = several(body, batch)
    rows = [one["row"] if isinstance(one.get("row"), dict) else {} for one in given]
    models = [live.model, *filter(None, [live.challenger])]
    doubtful = [
        column for model in models if not model.quick.keeps(rows) for column in model.columns
    ]
    columns = [column for i, column in enumerate(doubtful) if column not in doubtful[:i]]
    refuse([*broken(ITEM, given), *faults(columns, rows)])
    return body, [Item(one["unit"], one["row"]) for one in given]


def read_outcomes(raw: bytes, batch: int) -> list[Outcome]:
    """A body of outcomes; without a time of its own, an outcome is of now."""
    now = time.time()
    given = several(read(raw), batch)
    nameless = [
        (i, "decision", "is there, or else unit")
        for i, one in enumerate(given)
        if not (one.get("decision") or one.get("unit"))
    ]
    refuse([*broken(OUTCOME, given), *nameless])
    return [
        Outcome(
            float(one["value"]),
            moment(one.get("event_time"), now),
            now,
            one.get("decision"),
            one.get("unit"),
            one.get("key") or "",
        )
        for one in given
    ]


def moment(text: str | None, now: float) -> float:
    """A moment in ISO 8601 as seconds since 1970; without an offset it is UTC."""
    found = datetime.fromisoformat(text) if text else datetime.fromtimestamp(now, UTC)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def several(body: Any, batch: int) -> list[dict[str, Any]]:
    """One object or several, as a list."""
    found = [body] if isinstance(body, dict) else body
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise HTTPException(
            422, "Send an object, or a list of them, as the schema under /docs says."
        )
    if len(found) > batch:
        raise HTTPException(
            422, f"These are {len(found):,} rows; send at most {batch:,} at a time."
        )
    return found


def broken(rules: dict[str, Rule], given: list[dict[str, Any]]) -> Iterator[Fault]:
    """The rules that objects of the API break."""
    for i, one in enumerate(given):
        for name, rule in rules.items():
            if not (rule.holds(one[name]) if name in one else rule.optional):
                yield i, name, rule.said


def refuse(found: Iterable[Fault]) -> None:
    """Answer that a body has faults, in the order of its rows: row, column and rule, and no value."""
    if told := [
        {"row": row, "column": column, "rule": rule}
        for row, column, rule in sorted(found, key=itemgetter(0))
    ]:
        raise HTTPException(422, told)
