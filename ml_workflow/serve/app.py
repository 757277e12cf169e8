"""The API: its addresses, each a few lines over the model that serves."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import prometheus_client
import swagger_ui
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import multiprocess
from pydantic_core import to_json

from ..store.database import Unavailable
from ..store.decisions import Conflict, write_outcomes
from .bodies import read, read_items, read_outcomes, read_rows
from .decide import Decider, answer
from .guard import Guard
from .keys import Key
from .openapi import document
from .reload import Live


@dataclass(frozen=True)
class Endpoints:
    """What answers each address."""

    live: Live
    decider: Decider
    secured: bool

    async def predict(self, request: Request) -> Response:
        """Score and decide rows."""
        model = self.live.model
        body = await read(request, read_rows, model.rows)
        answers = await asyncio.wrap_future(self.decider.batcher(model.predict, body.content))
        return json_response(answers[0] if body.is_one else answers)

    async def decide(self, request: Request) -> Response:
        """Decide for units, as the running experiment says."""
        live = self.live
        schemas = [model.rows for model in (live.model, live.challenger) if model]
        body = await read(request, read_items, schemas)
        key = request.headers.get("idempotency-key", "")
        if len(key) > 200:
            raise HTTPException(
                400, "The header Idempotency-Key is longer than 200 characters: give a shorter one."
            )
        digest = hashlib.sha256(await request.body()).hexdigest()
        decisions = await self.decider(body.content, key, digest)
        answers = [answer(live.model, decision) for decision in decisions]
        return json_response(answers[0] if body.is_one else answers)

    async def outcomes(self, request: Request) -> Response:
        """Keep what came of decisions."""
        body = await read(request, read_outcomes)
        counts = await asyncio.to_thread(write_outcomes, self.live.database, body.content)
        return json_response(counts._asdict())

    async def version(self) -> Response:
        """Which version serves, and how."""
        model = self.live.model
        return json_response(
            {
                "task": model.task,
                "version": model.version,
                "digest": model.release.digest,
                "run": model.release.card.run,
                "path": model.path,
            }
        )

    async def health(self) -> Response:
        """The process lives."""
        return json_response({"status": "ok"})

    async def ready(self) -> Response:
        """Whether the service can do what it is for."""
        fault = await asyncio.to_thread(self.live.ready)
        detail = fault or self.live.registry_fault
        return json_response({"ready": not fault, "detail": detail}, 503 if fault else 200)

    async def metrics(self) -> Response:
        """This service's figures for Prometheus, of all its processes."""
        registry = prometheus_client.REGISTRY
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = prometheus_client.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        figures = prometheus_client.generate_latest(registry)
        return Response(figures, media_type=prometheus_client.CONTENT_TYPE_LATEST)

    async def openapi(self) -> Response:
        """The API's own description."""
        model = self.live.model
        return json_response(document(model.release, model.version, self.secured))

    async def docs(self) -> Response:
        """The page on which people try the API."""
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=self.live.task,
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="data:,",
            swagger_ui_parameters={"validatorUrl": None},
        )


def application(
    live: Live,
    keys: list[Key],
    explore: float = 0.0,
    serve_unwritten: bool = False,
) -> FastAPI:
    """The API over what is live, to be served by any ASGI server."""
    decider = Decider(live, explore, serve_unwritten)
    api = Endpoints(live, decider, bool(keys))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        live.follow()
        yield
        live.close()

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(Guard, keys=keys)
    for name in ("predict", "decide", "outcomes"):
        app.add_api_route(f"/{name}", getattr(api, name), methods=["POST"])
    for name in ("version", "health", "ready", "metrics", "docs"):
        app.add_api_route(f"/{name}", getattr(api, name), methods=["GET"])
    app.add_api_route("/openapi.json", api.openapi, methods=["GET"])
    app.mount("/docs", StaticFiles(directory=Path(swagger_ui.__file__).parent / "static"))
    app.add_exception_handler(Conflict, partial(refusal, 409))
    app.add_exception_handler(Unavailable, partial(refusal, 503))
    return app


async def refusal(status: int, _: Request, error: Exception) -> Response:
    """A refusal's sentence as the answer."""
    return JSONResponse({"detail": str(error)}, status)


def json_response(content: Any, status: int = 200) -> Response:
    """A response of JSON."""
    return Response(to_json(content), status, media_type="application/json")
