"""What holds for every request: an id, a key with the right scope, a limit on the body, a line in the log, its figures."""

import json
import logging
import re
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import uuid4

from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from .keys import Key, allowed, bearer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
LOG = logging.getLogger("ml_workflow.serve")
SCOPES = {
    "/predict": "predict",
    "/version": "predict",
    "/decide": "predict",
    "/outcomes": "outcomes",
    "/metrics": "admin",
}
"""What a key must be allowed to do, by address; other addresses are open."""
REQUESTS = Counter("requests", "Requests answered", ["path", "method", "status"])
SECONDS = Histogram(
    "request_seconds",
    "Seconds a request took",
    ["path"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)


class Guard:
    """An ASGI application before another one."""

    def __init__(self, app: Any, keys: list[Key], largest: int) -> None:
        self.app, self.keys, self.largest = app, keys, largest

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, headers = (
            time.perf_counter(),
            {name: value.decode("latin-1") for name, value in scope["headers"]},
        )
        asked = headers.get(b"x-request-id", "")
        request, status = asked if re.fullmatch(r"[\w.-]{1,64}", asked) else uuid4().hex, 500

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request.encode()),
                ]
            await send(message)

        who, refused = self._refused(scope["path"], headers)
        try:
            await (refused or self.app)(scope, limited(receive, self.largest), answered)
        except ClientDisconnect:  # nobody is left to answer
            status = 499
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            LOG.error(
                json.dumps(
                    {
                        "request": request,
                        "fault": type(error).__name__,
                        "at": f"{last.filename}:{last.lineno}",
                    }
                )
            )
            await JSONResponse(
                {"detail": f"A fault of ours; the log tells more under request {request}."}, 500
            )(scope, receive, answered)
        finally:
            path, seconds = (
                scope["path"]
                if scope["path"] in {*SCOPES, "/health", "/ready", "/docs", "/openapi.json"}
                else "other",
                time.perf_counter() - began,
            )
            REQUESTS.labels(
                path, scope["method"] if scope["method"] in ("GET", "POST") else "other", status
            ).inc()
            SECONDS.labels(path).observe(seconds)
            LOG.info(
                json.dumps(
                    {
                        "request": request,
                        "method": scope["method"],
                        "path": path,
                        "status": status,
                        "ms": round(seconds * 1000, 2),
                        "key": who,
                    }
                )
            )

    def _refused(self, path: str, headers: dict[bytes, str]) -> tuple[str, JSONResponse | None]:
        """The name of the key, and the answer to a request that may not come in."""
        scope = SCOPES.get(path)
        length = headers.get(b"content-length", "0")
        if scope and self.keys:
            key = bearer(self.keys, headers.get(b"authorization", ""))
            if key is None:
                return "", JSONResponse(
                    {"detail": "Give a key: Authorization: Bearer KEY."},
                    401,
                    {"WWW-Authenticate": "Bearer"},
                )
            if not allowed(key, scope):
                return key.name, JSONResponse({"detail": f"This key lacks the scope {scope}."}, 403)
            who = key.name
        else:
            who = ""
        if length.isdigit() and int(length) > self.largest:
            return who, JSONResponse(
                {"detail": too_large(self.largest)}, 413, {"Connection": "close"}
            )
        return who, None


def too_large(largest: int) -> str:
    """What is said of a body that is too large."""
    return f"The body is larger than {largest:,} bytes: send fewer rows at a time."


def limited(receive: Receive, largest: int) -> Receive:
    """`receive` that refuses a body of more bytes than are allowed, whatever its headers say."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > largest:
            raise HTTPException(413, too_large(largest), {"Connection": "close"})
        return message

    return counted
