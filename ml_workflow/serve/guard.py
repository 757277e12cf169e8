"""What holds for every request: an id, a key, a limit on the body, a line in the log, figures."""

import json
import logging
import re
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from .keys import Key, allowed, bearer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
LOG = logging.getLogger("ml_workflow.serve")
LARGEST = 16_000_000
"""Bytes of a body."""
SCOPE_NEEDED = {
    "/predict": "predict",
    "/version": "predict",
    "/decide": "predict",
    "/outcomes": "outcomes",
    "/metrics": "admin",
}
"""What a key must be allowed to do, by address; other addresses are open."""
PATHS = {*SCOPE_NEEDED, "/health", "/ready", "/docs", "/openapi.json"}
REQUESTS = Counter("requests", "Requests answered", ["path", "method", "status"])
SECONDS = Histogram(
    "request_seconds",
    "Seconds a request took",
    ["path"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)


@dataclass
class Exchange:
    """A request and its answer, as the log and the figures tell them: no value of a row."""

    request: str
    method: str
    path: str
    key: str = ""
    status: int = 500
    began: float = field(default_factory=time.perf_counter)

    def log(self) -> None:
        """Count it, and write its line."""
        seconds = time.perf_counter() - self.began
        method = self.method if self.method in ("GET", "POST") else "other"
        REQUESTS.labels(self.path, method, self.status).inc()
        SECONDS.labels(self.path).observe(seconds)
        line = vars(self) | {"ms": round(seconds * 1000, 2)}
        del line["began"]
        LOG.info(json.dumps(line))


class Guard:
    """An ASGI application before another one."""

    def __init__(self, app: Any, keys: list[Key]) -> None:
        self.app, self.keys = app, keys

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        own = headers.get("x-request-id", "")
        request = own if re.fullmatch(r"[\w.-]{1,64}", own) else uuid4().hex
        path = scope["path"] if scope["path"] in PATHS else "other"
        exchange = Exchange(request, scope["method"], path)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                name = (b"x-request-id", request.encode())
                message["headers"] = [*message.get("headers", []), name]
            await send(message)

        app = self._refusal(exchange, headers) or self.app
        try:
            await app(scope, limited(receive), answer)
        except ClientDisconnect:  # nobody is left to answer
            exchange.status = 499
        except Exception as error:
            await fault(request, error)(scope, receive, answer)
        finally:
            exchange.log()

    def _refusal(self, exchange: Exchange, headers: Headers) -> JSONResponse | None:
        """The answer to a request that may not come in; notes the name of its key."""
        scope = SCOPE_NEEDED.get(exchange.path)
        if scope and self.keys:
            key = bearer(self.keys, headers.get("authorization", ""))
            if key is None:
                detail = "Give a key: Authorization: Bearer KEY."
                return JSONResponse({"detail": detail}, 401, {"WWW-Authenticate": "Bearer"})
            exchange.key = key.name
            if not allowed(key, scope):
                return JSONResponse({"detail": f"This key lacks the scope {scope}."}, 403)
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > LARGEST:
            return JSONResponse({"detail": too_large()}, 413, {"Connection": "close"})
        return None


def fault(request: str, error: Exception) -> JSONResponse:
    """The answer where we failed; the log says where, neither says what of."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{last.filename}:{last.lineno}"
    LOG.error(json.dumps({"request": request, "fault": type(error).__name__, "at": place}))
    detail = f"A fault of ours; the log tells more under request {request}."
    return JSONResponse({"detail": detail}, 500)


def too_large() -> str:
    """What is said of a body that is too large."""
    return f"The body is larger than {LARGEST:,} bytes: send fewer rows at a time."


def limited(receive: Receive) -> Receive:
    """`receive` that refuses a body of more bytes than are allowed, whatever its headers say."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LARGEST:
            raise HTTPException(413, too_large(), {"Connection": "close"})
        return message

    return counted
