"""The decisions database: who was exposed to which arm, what was decided, and what came of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import islice
from math import isfinite
from pathlib import Path
from secrets import token_hex
from time import time_ns
from typing import Any, NamedTuple, TypeAlias

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..errors import Refusal
from .database import Unavailable as Unavailable
from .database import address as address
from .database import open as open
from .database import reading, writing
from .database import ready as ready
from .schema import decisions, exposures, metadata, outcomes, requests, strays

CHUNK = 500  # values in one statement's list
ADOPTION = 611_953  # PostgreSQL's lock: outcomes are settled while no decision is being written
Row: TypeAlias = dict[str, Any]


def new_id() -> str:
    """Milliseconds since 1970 and 80 bits of chance in hex, as in UUID 7 (RFC 9562): decisions that are near in time are near in each index."""
    return f"{time_ns() // 1_000_000:012x}{token_hex(10)}"


@dataclass(frozen=True)
class Decision:
    """What was decided for a unit. `row` is as given; `time` in seconds since 1970; `position` is given by the journal."""

    unit: str
    row: Row | None
    version: str
    score: Any
    action: str
    time: float
    experiment: str | None = None
    arm: str | None = None
    propensity: float | None = 1.0
    fallback: bool = False
    id: str = field(default_factory=new_id)
    position: int | None = None


@dataclass(frozen=True)
class Request:
    """Decisions answered together. The same key and body again give the stored decisions; no key: always new."""

    decisions: Sequence[Decision]
    key: str = ""
    body: str = ""  # SHA-256 of what was asked


class Conflict(Refusal):
    """A request's key stands there with another body."""


Answer: TypeAlias = list[Decision] | Conflict


class Exposure(NamedTuple):
    """A unit in an experiment: the arm that the hash gives and the one served, from which phase and time on."""

    experiment: str
    unit: str
    arm_assigned: str
    arm_served: str
    phase: int
    time: float


class Outcome(NamedTuple):
    """What came of a decision, named by its id, or else by the unit: then of its last decision up to the event.

    Without a key, the same value at the same event time is the same outcome.
    """

    value: float
    event_time: float
    arrival_time: float
    decision: str | None = None
    unit: str | None = None
    key: str = ""


class Counts(NamedTuple):
    """Of outcomes given: new, known from before, of an unknown decision or unit, and known with another content."""

    new: int
    known: int
    stray: int
    conflict: int


def keep(engine: sa.Engine, asked: Sequence[Request]) -> list[Answer]:
    """Write all requests in one transaction; for each the decisions that stand in the database, or its Conflict."""
    with writing(engine) as connection:
        return keep_in(connection, asked)


def keep_in(connection: sa.Connection, asked: Sequence[Request]) -> list[Answer]:
    """`keep` within a transaction of the caller."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(ADOPTION)))
    first = {request.key: request for request in reversed(asked) if request.key}
    rows = [
        {"key": key, "body": first[key].body, "time": first[key].decisions[0].time}
        for key in sorted(first)
    ]
    new = inserted(connection, requests, rows, "key")
    fresh = [
        not request.key or (request.key in new and first[request.key] is request)
        for request in asked
    ]
    written = [
        _row(decision, request.key)
        for request, is_new in zip(asked, fresh, strict=True)
        if is_new
        for decision in request.decisions
    ]
    if written:
        connection.execute(decisions.insert(), written)
        settle(connection, "decision", [row["id"] for row in written])
        settle(connection, "unit", [row["unit"] for row in written])
    stood = _stored(
        connection,
        {request.key for request, is_new in zip(asked, fresh, strict=True) if not is_new},
    )
    return [
        list(request.decisions) if is_new else _again(request, stood[request.key])
        for request, is_new in zip(asked, fresh, strict=True)
    ]


def _row(decision: Decision, key: str) -> Row:
    return {name: value for name, value in vars(decision).items() if name != "position"} | {
        "request": key or None
    }


def _stored(connection: sa.Connection, keys: Iterable[str]) -> dict[str, list[sa.RowMapping]]:
    """The rows of requests that stand there, by key, each with its body."""
    found: dict[str, list[sa.RowMapping]] = {}
    for some in chunks(keys):
        query = (
            sa.select(requests.c.body, decisions)
            .join(requests)
            .where(requests.c.key.in_(some))
            .order_by(decisions.c.position)
        )
        for row in connection.execute(query).mappings():
            found.setdefault(row["request"], []).append(row)
    return found


def _again(request: Request, stood: list[sa.RowMapping]) -> Answer:
    if stood[0]["body"] != request.body:
        return Conflict(
            f"The key {request.key!r} was used before with another body: give each new request a key of its own."
        )
    return [_decision(row) for row in stood]


def _decision(row: sa.RowMapping) -> Decision:
    return Decision(**{part.name: row[part.name] for part in fields(Decision)})


def decision(engine: sa.Engine, identity: str) -> Decision:
    """A past decision as it was written, for replay; raises Refusal for an unknown id."""
    with reading(engine) as connection:
        row = (
            connection.execute(sa.select(decisions).where(decisions.c.id == identity))
            .mappings()
            .first()
        )
    if row is None:
        raise Refusal(
            f"No decision {identity!r} in the decisions database: give an id that /decide answered."
        )
    return _decision(row)


def expose(engine: sa.Engine, asked: Sequence[Exposure]) -> list[Exposure]:
    """For each the exposure that stands in the database: the first one ever asked for its experiment and unit."""
    with writing(engine) as connection:
        return expose_in(connection, asked)


def expose_in(connection: sa.Connection, asked: Sequence[Exposure]) -> list[Exposure]:
    """`expose` within a transaction of the caller."""
    wanted = {(one.experiment, one.unit): one for one in reversed(asked)}
    stood = _exposed(connection, wanted)
    missing = sorted(one for pair, one in wanted.items() if pair not in stood)
    if missing:
        inserted(connection, exposures, [one._asdict() for one in missing])
        stood |= _exposed(connection, [one[:2] for one in missing])
    return [stood[one.experiment, one.unit] for one in asked]


def _exposed(
    connection: sa.Connection, pairs: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Exposure]:
    key = sa.tuple_(exposures.c.experiment, exposures.c.unit)
    rows = (
        row
        for some in chunks(pairs)
        for row in connection.execute(sa.select(exposures).where(key.in_(some)))
    )
    return {(row.experiment, row.unit): Exposure(*row) for row in rows}


def keep_outcomes(engine: sa.Engine, given: Sequence[Outcome]) -> Counts:
    """Write all outcomes in one transaction; posted again, shuffled or by many at once, they give the same tables.

    Those whose decision is unknown are kept as strays and adopted when it appears. Raises Refusal for a value
    that is not finite or an outcome that names neither decision nor unit.
    """
    posted = [_checked(outcome) for outcome in given]
    first = {row["idempotency_key"]: row for row in reversed(posted)}
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADOPTION)))
        before = _contents(connection, outcomes, first) | _contents(connection, strays, first)
        inserted(connection, strays, [first[key] for key in sorted(first.keys() - before.keys())])
        settle(connection, "idempotency_key", first)
        apart = len(_contents(connection, strays, first.keys() - before.keys()))
    stands = {key: (row["value"], row["event_time"]) for key, row in first.items()} | before
    conflicts = sum(
        (row["value"], row["event_time"]) != stands[row["idempotency_key"]] for row in posted
    )
    fresh = len(first.keys() - before.keys())
    return Counts(fresh - apart, len(posted) - fresh - conflicts, apart, conflicts)


def _checked(outcome: Outcome) -> Row:
    named = f"decision {outcome.decision}" if outcome.decision else f"unit {outcome.unit}"
    if not outcome.decision and not outcome.unit:
        raise Refusal("An outcome names neither a decision nor a unit: give one of them.")
    if not isfinite(outcome.value):
        raise Refusal(f"An outcome has the value {outcome.value}: give a finite number.")
    row = outcome._asdict()
    return row | {
        "idempotency_key": row.pop("key")
        or f"{named} at {outcome.event_time!r}: {float(outcome.value)!r}"
    }


def _contents(
    connection: sa.Connection, table: sa.Table, keys: Iterable[str]
) -> dict[str, tuple[float, float]]:
    """Value and event time of the outcomes that stand in the table, by key."""
    query = sa.select(table.c.idempotency_key, table.c.value, table.c.event_time)
    rows = (
        row
        for some in chunks(keys)
        for row in connection.execute(query.where(table.c.idempotency_key.in_(some)))
    )
    return {key: (value, event_time) for key, value, event_time in rows}


def settle(connection: sa.Connection, column: str, values: Iterable[str]) -> None:
    """Move the strays with these values, whose decision stands there by now, to the outcomes."""
    for some in chunks(values):
        rows = [
            dict(row) for row in connection.execute(_decided(column), {"some": some}).mappings()
        ]
        inserted(connection, outcomes, rows)
        for keys in chunks(row["idempotency_key"] for row in rows):
            connection.execute(strays.delete().where(strays.c.idempotency_key.in_(keys)))


@cache
def _decided(column: str) -> "sa.Select[Any]":
    """Strays by a list of one column's values as outcomes of the decision they name, or of the unit's last one before the event."""
    own = decisions.alias()
    last = sa.select(own.c.id).where(own.c.unit == strays.c.unit, own.c.time <= strays.c.event_time)
    last = last.order_by(own.c.time.desc(), own.c.position.desc()).limit(1)
    named = sa.case(
        (strays.c.decision.is_not(None), strays.c.decision), else_=last.scalar_subquery()
    )
    found = sa.select(
        decisions.c.id.label("decision"),
        *(strays.c[name] for name in ("idempotency_key", "value", "event_time", "arrival_time")),
    )
    found = found.select_from(strays.join(decisions, decisions.c.id == named))
    return found.where(strays.c[column].in_(sa.bindparam("some", expanding=True)))


def inserted(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Row], returning: str | None = None
) -> set[str]:
    """Insert the rows that are not there by their keys; of these the values of one column, if it is named."""
    if not rows:
        return set()
    result = connection.execute(_insert(connection.dialect.name, table, returning), rows)
    return set(result.scalars()) if returning else set()


@cache
def _insert(dialect: str, table: sa.Table, returning: str | None) -> Any:
    statement = (
        {"sqlite": sqlite, "postgresql": postgresql}[dialect].insert(table).on_conflict_do_nothing()
    )
    return statement.returning(table.c[returning]) if returning else statement


def chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    """The values in lists short enough for one statement."""
    left = iter(values)
    return iter(lambda: list(islice(left, CHUNK)), [])


def create(path: Path) -> sa.Engine:
    """A new, empty decisions database in a SQLite file; a file that stands there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    return open(f"sqlite:///{path.absolute()}")


def insert(engine: sa.Engine, rows: Mapping[str, pd.DataFrame]) -> None:
    """Insert rows of several tables, all or none."""
    with engine.execution_options(writes=True).begin() as connection:
        for name, frame in rows.items():
            connection.execute(
                metadata.tables[name].insert(),
                [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")],
            )
