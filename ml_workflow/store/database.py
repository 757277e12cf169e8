"""Reaching the decisions database: SQLite or PostgreSQL, its migrations, its faults in words."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from ..errors import Refusal
from .address import first_line, with_secrets
from .files import root
from .schema import metadata, requests

WAIT = 5.0
"""Seconds that a lock is waited for."""
BUILDING = 611_952
"""PostgreSQL's lock for making the tables."""
FAULTS = {
    "database is locked": "is locked by another program: end it, or wait and try again",
    "55P03": "is locked by another program: end it, or wait and try again",
    "database or disk is full": "is full: make room on its disk",
    "53100": "is full: make room on its disk",
    "readonly database": "is read-only: give this user the right to write it",
    "25006": "is read-only: give the address of the server that takes writes",
    "unable to open": "cannot be opened: check that its folder exists and may be written",
    "not a database": "is no SQLite database: move the file away, or correct ML_WORKFLOW_DATABASE",
    "42501": "does not let this user do that: give it the rights, on PostgreSQL 15 and later also "
    "to create in its schema",
    "42P01": "lacks a table: restore it from a backup, or give an empty database",
    "malformed": "is damaged: restore it from a backup",
}
"""What SQLite says, or PostgreSQL's code: what is wrong."""

OURS = (sa.exc.DataError, sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.NotSupportedError)
"""Errors of the program that asks, not of the database, unless FAULTS knows their code."""
SILENT = "does not answer: check that its server runs and that ML_WORKFLOW_DATABASE is right"
"""What is wrong where the database says nothing that FAULTS knows."""


class Unavailable(Refusal):
    """The database does not take or give rows now; nothing of the transaction was written."""


def decisions_url() -> str:
    """The decisions database's URL: ML_WORKFLOW_DATABASE, or SQLite in var/."""
    return os.environ.get("ML_WORKFLOW_DATABASE") or "sqlite:///var/decisions.db"


def connect(url: str) -> sa.Engine:
    """An engine for the URL, whose ${NAME} come from the environment; nothing is reached yet."""
    try:
        address = sa.make_url(with_secrets(url))
    except (sa.exc.ArgumentError, ValueError):  # which may quote the password
        raise Refusal(
            f"The decisions database {url} is no URL: write sqlite:///file.db or "
            "postgresql://user:password@host/name."
        ) from None
    kind = address.get_backend_name()
    if kind == "sqlite":
        return _sqlite(address)
    if kind in ("postgresql", "postgres"):
        return _postgresql(address)
    raise Refusal(f"The decisions database is of the kind {kind!r}: give SQLite or PostgreSQL.")


_engine = partial(
    sa.create_engine, json_serializer=partial(json.dumps, allow_nan=False, ensure_ascii=False)
)


def _sqlite(address: sa.URL) -> sa.Engine:
    if not address.database:
        raise Refusal("The decisions database needs a file: write sqlite:///file.db.")
    engine = _engine(
        f"sqlite:///{root() / address.database}",
        connect_args={"timeout": WAIT, "check_same_thread": False, "isolation_level": None},
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        # NORMAL: a commit survives SIGKILL without waiting for the disk; only a power cut may take
        # the last ones
        for setting in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {setting}")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # a writer takes its place at once: a reader that begins to write would be refused instead
        # of waiting
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(address: sa.URL) -> sa.Engine:
    engine = _engine(
        address.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={"connect_timeout": int(WAIT)},
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.execute(f"SET lock_timeout = '{WAIT}s'")
        connection.commit()

    return engine


def open_decisions(url: str) -> sa.Engine:
    """The decisions database at the URL, its tables made where it is empty.

    Raises Unavailable where it cannot be reached or written, or is at another migration.
    """
    engine = connect(url)
    if engine.dialect.name == "sqlite":
        with suppress(OSError):  # opening it then fails, and says so
            Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":  # where several processes may find it empty at once
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(BUILDING)))
        if _is_empty(connection):
            _upgrade(connection)
    if fault := fault_of(engine):
        raise Unavailable(fault)
    return engine


def new_decisions(path: Path) -> sa.Engine:
    """A new, empty decisions database in a SQLite file; a file that stands there is replaced."""
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    return open_decisions(f"sqlite:///{path.absolute()}")


def insert_frames(engine: sa.Engine, frames: Mapping[str, pd.DataFrame]) -> None:
    """Insert the rows of frames, by table, whose columns they have: all or none."""
    with writing(engine) as connection:
        for name, frame in frames.items():
            rows: Any = frame.to_dict("records")
            connection.execute(metadata.tables[name].insert(), rows)


@cache
def migrations() -> ScriptDirectory:
    """The steps from empty to today's tables, oldest to newest."""
    return ScriptDirectory(str(Path(__file__).parent / "migrations"))


def migrate(engine: sa.Engine) -> None:
    """Bring a database, empty or at a known migration, to the newest; any other is refused."""
    with writing(engine) as connection:
        if not _is_empty(connection) and _revision(connection) not in _known():
            raise Refusal(_outdated(connection))
        _upgrade(connection)


def fault_of(engine: sa.Engine) -> str:
    """What is wrong with the database in a sentence; empty when it takes decisions now."""
    try:
        with writing(engine) as connection:
            if fault := _outdated(connection):
                return fault
            probe = {"key": "probe", "body": "0" * 65536, "time": 0.0}
            connection.execute(requests.insert(), probe)
            connection.rollback()
    except Unavailable as error:
        return str(error)
    return ""


def _is_empty(connection: sa.Connection) -> bool:
    return not sa.inspect(connection).get_table_names()


def _upgrade(connection: sa.Connection) -> None:
    """Take the steps that are left, within the transaction."""
    steps = {"fn": lambda revision, _: migrations()._upgrade_revs("head", revision)}
    context = MigrationContext.configure(connection, opts=steps)
    with Operations.context(context):
        context.run_migrations()


def _revision(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _known() -> list[str]:
    return [step.revision for step in migrations().walk_revisions()]  # the newest first


def _outdated(connection: sa.Connection) -> str:
    """Why the tables are not those that this program knows; empty where they are."""
    name, revision, known = _name(connection.engine), _revision(connection), _known()
    if revision == known[0]:
        return ""
    if revision in known:
        return (
            f"{name} is at the older migration {revision}, this program needs {known[0]}: "
            "run `ml-workflow experiment migrate`."
        )
    if revision:
        return (
            f"{name} is at the migration {revision}, which this program does not know: "
            "use the newer version of the program that made it."
        )
    return (
        f"{name} has no tables of this program: give an empty database, or correct "
        "ML_WORKFLOW_DATABASE."
    )


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that writes: committed whole at the end, else nothing of it.

    Raises Unavailable in a sentence.
    """
    with _sentences(engine), engine.execution_options(writes=True).begin() as connection:
        yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection to read from; raises Unavailable in a sentence."""
    with _sentences(engine), engine.connect() as connection:
        yield connection


@contextmanager
def _sentences(engine: sa.Engine) -> Iterator[None]:
    """What the database refuses as Unavailable; what the program did wrong as it is."""
    try:
        yield
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        cause = getattr(error, "orig", None) or error
        code = getattr(cause, "sqlstate", None)
        if isinstance(error, OURS) and code not in FAULTS:
            raise
        message = f"{code} {first_line(cause)}"
        faults = (fault for sign, fault in FAULTS.items() if sign in message)
        raise Unavailable(f"{_name(engine)} {next(faults, SILENT)}.") from error


def _name(engine: sa.Engine) -> str:
    """How sentences call the database: its file, or its name and host."""
    name = f"The decisions database {engine.url.database}"
    if engine.dialect.name == "sqlite":
        return name
    return f"{name} on {engine.url.host or engine.url.query.get('host') or 'this machine'}"
