"""Bodies of requests: JSON that is read, and refused with every fault it has."""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from operator import itemgetter
from typing import Annotated, Any, NamedTuple

from fastapi import HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from ..data.columns import TIME
from ..store.decisions import Outcome
from .rows import Breach, Row, RowSchema

LARGE = 65_536
"""Bytes from which a body is read in a thread, so that other requests go on."""
MOST = 10_000
"""Rows of a request."""
RULES = {
    "value": "is a number",
    "event_time": "is a moment in ISO 8601",
    "row": "is an object by column",
}
"""What is said of a property that is wrong; of others, that they are names."""
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class Item(BaseModel):
    """A unit to decide for, and its row."""

    model_config = ConfigDict(strict=True)

    unit: Name
    row: Row


class OutcomeItem(BaseModel):
    """What came of a decision, named by its id or its unit."""

    model_config = ConfigDict(strict=True)

    value: Annotated[float, Field(ge=-1e300, le=1e300)]
    event_time: Annotated[str, Field(pattern=TIME)] | None = Field(
        None, description="When it happened, in ISO 8601; left out: now."
    )
    decision: Name | None = None
    unit: Name | None = None
    idempotency_key: Name | None = Field(None, alias="key")


ITEMS, OUTCOMES = TypeAdapter(list[Item]), TypeAdapter(list[OutcomeItem])


class Body(NamedTuple):
    """What a body holds, and whether it came as one object or as a list of them."""

    content: list[Any]
    is_one: bool


async def read(request: Request, reader: Callable[..., Body], *arguments: Any) -> Body:
    """What a reader makes of a request's body, which says that it is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "Send JSON: Content-Type: application/json.")
    raw = await request.body()
    if len(raw) < LARGE:
        return reader(raw, *arguments)
    return await asyncio.to_thread(reader, raw, *arguments)


def read_rows(raw: bytes, schema: RowSchema) -> Body:
    """Rows that keep the contract."""
    rows = schema.read(raw)
    if rows is not None:
        return _body(rows)
    body = _body(_json(raw))
    refuse(schema.breaches(body.content))
    return body


def read_items(raw: bytes, schemas: list[RowSchema]) -> Body:
    """Units with their rows, which keep the contract of every version that may decide."""
    body = _body(_json(raw))
    items, breaches = _checked(ITEMS, body.content)
    rows = [one["row"] if isinstance(one.get("row"), dict) else {} for one in body.content]
    of_rows = dict.fromkeys(breach for schema in schemas for breach in schema.breaches(rows))
    refuse([*breaches, *of_rows])
    return Body(items, body.is_one)


def read_outcomes(raw: bytes) -> Body:
    """Outcomes; without a time of its own, an outcome is of now."""
    now, body = time.time(), _body(_json(raw))
    items, breaches = _checked(OUTCOMES, body.content)
    for i, one in enumerate(body.content):
        if not (one.get("decision") or one.get("unit")):
            breaches.append(Breach(i, "decision", "is there, or else unit"))
    refuse(breaches)
    outcomes = [
        Outcome(
            arrival_time=now,
            **item.model_dump(exclude={"event_time"}, exclude_none=True),
            event_time=timestamp(item.event_time) if item.event_time else now,
        )
        for item in items
    ]
    return Body(outcomes, body.is_one)


def timestamp(text: str) -> float:
    """A time in ISO 8601 as seconds since 1970; without an offset it is UTC."""
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def refuse(breaches: Iterable[Breach]) -> None:
    """Answer that a body has faults, in the order of its rows: row, column and rule, no value."""
    if faults := [breach._asdict() for breach in sorted(breaches, key=itemgetter(0))]:
        raise HTTPException(422, faults)


def _checked(models: TypeAdapter[Any], objects: list[Any]) -> tuple[list[Any], list[Breach]]:
    """The objects as models, and the rules that they break."""
    try:
        return models.validate_python(objects), []
    except ValidationError as error:
        places = [fault["loc"] for fault in error.errors(include_url=False)]
    name = "is text of 1 to 200 characters"
    return [], [Breach(int(i), str(key), RULES.get(str(key), name)) for i, key, *_ in places]


def _json(raw: bytes) -> Any:
    """What a body says; no NaN, no infinity."""
    try:
        return from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise HTTPException(400, f"The body is no JSON: {error}.") from None


def _body(found: Any) -> Body:
    """One object or several, at most MOST."""
    objects = [found] if isinstance(found, dict) else found
    is_list = isinstance(objects, list) and len(objects) > 0
    if not is_list or not all(isinstance(one, dict) for one in objects):
        raise HTTPException(
            422, "Send an object, or a list of them, as the schema under /docs says."
        )
    if len(objects) > MOST:
        raise HTTPException(
            422, f"These are {len(objects):,} rows; send at most {MOST:,} at a time."
        )
    return Body(objects, isinstance(found, dict))
