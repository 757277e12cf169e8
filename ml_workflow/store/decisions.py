"""The decisions database: who was exposed to which arm, what was decided, and what came of it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import islice
from secrets import token_hex
from time import time_ns
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..errors import Refusal
from .database import reading, writing
from .schema import decisions, exposures, outcomes, requests, strays

CHUNK = 500
"""Values in one statement's list."""
ADOPTION = 611_953
"""PostgreSQL's lock: outcomes find their decisions while no decision is being written."""
SOME: sa.BindParameter[Any] = sa.bindparam("some", expanding=True)
"""The values in a statement's list."""
Row: TypeAlias = dict[str, Any]


def new_id() -> str:
    """Milliseconds since 1970 and 80 bits of chance in hex, as in UUID 7 (RFC 9562).

    Decisions that are near in time are near in each index.
    """
    return f"{time_ns() // 1_000_000:012x}{token_hex(10)}"


@dataclass(frozen=True)
class Decision:
    """What was decided for a unit. `row` is as given; `time` in seconds since 1970."""

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

    @property
    def by_release(self) -> bool:
        """Whether a release decided by its score: it has none, or one in shadow, by the process."""
        return self.score is not None and not isinstance(self.score, dict)


COLUMNS = [decisions.c[part.name] for part in fields(Decision)]


@dataclass(frozen=True)
class Request:
    """Decisions answered together, with the SHA-256 of what was asked.

    The same key and body again give the stored decisions; no key: always new.
    """

    decisions: Sequence[Decision]
    key: str = ""
    body: str = ""


class Conflict(Refusal):
    """A request's key stands there with another body."""


Answer: TypeAlias = list[Decision] | Conflict


class Exposure(NamedTuple):
    """A unit in an experiment: the arm that the hash gives and the one served, from when on.

    Phases count from 1; `time` is in seconds since 1970.
    """

    experiment: str
    unit: str
    arm_assigned: str
    arm_served: str
    phase: int
    time: float


class Outcome(NamedTuple):
    """What came of a decision, named by its id, or else by the unit: of its last before the event.

    Without a key, the same value at the same event time is the same outcome. Times are in seconds
    since 1970.
    """

    value: float
    event_time: float
    arrival_time: float
    decision: str | None = None
    unit: str | None = None
    idempotency_key: str = ""


class OutcomeCounts(NamedTuple):
    """Of outcomes given: new, known from before, of an unknown decision or unit, in conflict.

    The last are known with another content.
    """

    new: int
    known: int
    stray: int
    conflict: int


def write(engine: sa.Engine, items: Sequence[Request | Exposure]) -> list[Any]:
    """The answers to requests and exposures, all written in one transaction.

    To a request the decisions that stand for it or its Conflict, to an exposure the one that stands
    for its experiment and unit: the first ever given.
    """
    requests = [item for item in items if isinstance(item, Request)]
    exposures = [item for item in items if isinstance(item, Exposure)]
    with writing(engine) as connection:
        stored = iter(_write_exposures(connection, exposures))
        answers = iter(_write_decisions(connection, requests) if requests else [])
    return [next(answers if isinstance(item, Request) else stored) for item in items]


def _write_decisions(connection: sa.Connection, group: Sequence[Request]) -> list[Answer]:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(ADOPTION)))
    claims = _claims(connection, group)

    def is_new(request: Request) -> bool:
        return not request.key or claims.get(request.key) is request

    rows = [
        vars(decision) | {"request": request.key or None}
        for request in filter(is_new, group)
        for decision in request.decisions
    ]
    if rows:
        connection.execute(decisions.insert(), rows)
        _adopt(connection, "decision", [row["id"] for row in rows])
        _adopt(connection, "unit", [row["unit"] for row in rows])
    stored = _stored(connection, {request.key for request in group if not is_new(request)})
    return [
        list(request.decisions) if is_new(request) else _again(request, stored[request.key])
        for request in group
    ]


def _claims(connection: sa.Connection, group: Sequence[Request]) -> dict[str, Request]:
    """The requests whose key was not there, by key: the first of each key, which is theirs now."""
    first = {request.key: request for request in reversed(group) if request.key}
    rows = [
        {"key": key, "body": first[key].body, "time": first[key].decisions[0].time}
        for key in sorted(first)
    ]
    return {key: first[key] for key in _insert_new(connection, requests, rows, "key")}


STORED = (
    sa.select(requests.c.key, requests.c.body, *COLUMNS)
    .join_from(decisions, requests)
    .where(requests.c.key.in_(SOME))
    .order_by(decisions.c.position)
)


def _stored(connection: sa.Connection, keys: Iterable[str]) -> dict[str, list[Any]]:
    """The body and the decisions of requests that stand there, by key."""
    stored = defaultdict(list)
    for row in _rows(connection, STORED, keys):
        stored[row.key].append(row)
    return stored


def _again(request: Request, stored: list[Any]) -> Answer:
    if stored[0].body != request.body:
        return Conflict(
            f"The key {request.key!r} was used before with another body: "
            "give each new request a key of its own."
        )
    return [Decision(*row) for _, _, *row in stored]


def read_decision(engine: sa.Engine, identity: str) -> Decision:
    """A past decision as it was written; raises Refusal for an unknown id."""
    with reading(engine) as connection:
        row = connection.execute(sa.select(*COLUMNS).where(decisions.c.id == identity)).first()
    if row is None:
        raise Refusal(
            f"No decision {identity!r} in the decisions database: give an id that /decide answered."
        )
    return Decision(*row)


EXPOSED = sa.select(exposures).where(sa.tuple_(exposures.c.experiment, exposures.c.unit).in_(SOME))


def _write_exposures(connection: sa.Connection, group: Sequence[Exposure]) -> list[Exposure]:
    first = {exposure[:2]: exposure for exposure in reversed(group)}
    _insert_new(connection, exposures, [first[pair]._asdict() for pair in sorted(first)])
    stored = {row[:2]: Exposure(*row) for row in _rows(connection, EXPOSED, first)}
    return [stored[exposure[:2]] for exposure in group]


def write_outcomes(engine: sa.Engine, group: Sequence[Outcome]) -> OutcomeCounts:
    """Write all outcomes in one transaction.

    Posted again, shuffled or by many at once, they give the same tables. Those whose decision is
    unknown are kept as strays and adopted when it appears. Each has a finite value and names a
    decision or a unit, which the API holds.
    """
    posted = [_with_key(outcome) for outcome in group]
    first = {outcome.idempotency_key: outcome for outcome in reversed(posted)}
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADOPTION)))
        stored = _rows(connection, CONTENTS, first)
        before = {key: (value, event_time) for key, value, event_time in stored}
        new = sorted(first.keys() - before.keys())
        _insert_new(connection, strays, [first[key]._asdict() for key in new])
        adopted = _adopt(connection, "idempotency_key", new)
    contents = {key: outcome[:2] for key, outcome in first.items()} | before
    conflicts = sum(outcome[:2] != contents[outcome.idempotency_key] for outcome in posted)
    known = len(posted) - len(new) - conflicts
    return OutcomeCounts(adopted, known, len(new) - adopted, conflicts)


def _with_key(outcome: Outcome) -> Outcome:
    """The outcome with the key that its content gives where it has none."""
    name = f"decision {outcome.decision}" if outcome.decision else f"unit {outcome.unit}"
    content = f"{name} at {outcome.event_time!r}: {float(outcome.value)!r}"
    return outcome._replace(idempotency_key=outcome.idempotency_key or content)


CONTENTS = sa.union_all(
    *(
        sa.select(*table.c["idempotency_key", "value", "event_time"]).where(
            table.c.idempotency_key.in_(SOME)
        )
        for table in (outcomes, strays)
    )
)
"""Value and event time of outcomes that stand there, by key."""

BEFORE = decisions.alias()
LAST = (
    sa.select(BEFORE.c.id)
    .where(BEFORE.c.unit == strays.c.unit, BEFORE.c.time <= strays.c.event_time)
    .order_by(BEFORE.c.time.desc(), BEFORE.c.position.desc())
    .limit(1)
)
"""A unit's last decision before the event."""


@cache
def _adoptable(column: str) -> sa.Select[Any]:
    """Strays by a column as outcomes of the decision they name, or of their unit's last one."""
    content = strays.c["idempotency_key", "value", "event_time", "arrival_time"]
    query = sa.select(decisions.c.id.label("decision"), *content)
    named = sa.func.coalesce(strays.c.decision, LAST.scalar_subquery())
    return query.join_from(strays, decisions, decisions.c.id == named).where(
        strays.c[column].in_(SOME)
    )


def _adopt(connection: sa.Connection, column: str, values: Iterable[str]) -> int:
    """Move the strays with these values, whose decision stands there by now, to the outcomes.

    How many they are.
    """
    rows = [row._asdict() for row in _rows(connection, _adoptable(column), values)]
    _insert_new(connection, outcomes, rows)
    for keys in chunks(row["idempotency_key"] for row in rows):
        connection.execute(strays.delete().where(strays.c.idempotency_key.in_(keys)))
    return len(rows)


def _insert_new(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Row], returning: str | None = None
) -> set[str]:
    """Insert the rows that are not there by their keys; of these the values of the named column."""
    if not rows:
        return set()
    result = connection.execute(_insert(connection.dialect.name, table, returning), rows)
    return set(result.scalars()) if returning else set()


@cache
def _insert(dialect: str, table: sa.Table, returning: str | None) -> Any:
    insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect]
    statement = insert(table).on_conflict_do_nothing()
    return statement.returning(table.c[returning]) if returning else statement


def _rows(connection: sa.Connection, query: sa.Executable, values: Iterable[Any]) -> Iterator[Any]:
    """The rows of a query for SOME of the values after the other, of however many."""
    for some in chunks(values):
        yield from connection.execute(query, {"some": some})


def chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    """The values in lists short enough for one statement."""
    left = iter(values)
    return iter(lambda: list(islice(left, CHUNK)), [])
