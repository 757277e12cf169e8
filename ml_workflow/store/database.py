"""Reaching the decisions database: SQLite or PostgreSQL, its migrations, and what is wrong with it in a sentence."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from ..errors import Refusal
from .address import first_line, revealed
from .files import root
from .schema import metadata, requests

SCRIPT = partial(json.dumps, allow_nan=False, ensure_ascii=False)
WAIT = 5.0  # seconds for a lock
BUILDING = 611_952  # PostgreSQL's lock for making the tables
FAULTS = {  # what SQLite says, or PostgreSQL's code: what is wrong
    "database is locked": "is locked by another program: end it, or wait and try again",
    "55P03": "is locked by another program: end it, or wait and try again",
    "database or disk is full": "is full: make room on its disk",
    "53100": "is full: make room on its disk",
    "readonly database": "is read-only: give this user the right to write it",
    "25006": "is read-only: give the address of the server that takes writes",
    "unable to open": "cannot be opened: check that its folder exists and may be written",
    "not a database": "is no SQLite database: move the file away, or correct ML_WORKFLOW_DATABASE",
    "42501": "does not let this user do that: give it the rights, on PostgreSQL 15 and later also to create in its schema",
    "42P01": "lacks a table: restore it from a backup, or give an empty database",
    "malformed": "is damaged: restore it from a backup",
}


@cache
def steps() -> ScriptDirectory:
    """The migrations, oldest to newest."""
    return ScriptDirectory(str(Path(__file__).parent / "migrations"))


class Unavailable(Refusal):
    """The database does not take or give rows now; nothing of the transaction was written."""


def address() -> str:
    """The decisions database's URL: ML_WORKFLOW_DATABASE, or SQLite in var/."""
    return os.environ.get("ML_WORKFLOW_DATABASE") or "sqlite:///var/decisions.db"


def connect(url: str) -> sa.Engine:
    """An engine for the URL, whose ${NAME} come from the environment; nothing is reached yet."""
    try:
        found = sa.make_url(revealed(url))
    except (sa.exc.ArgumentError, ValueError):  # which may quote the password
        raise Refusal(
            f"The decisions database {url} is no URL: write sqlite:///file.db or postgresql://user:password@host/name."
        ) from None
    if found.get_backend_name() == "sqlite":
        return _sqlite(root() / found.database if found.database else Path())
    if found.get_backend_name() in ("postgresql", "postgres"):
        return _postgresql(found.set(drivername="postgresql+psycopg"))
    raise Refusal(
        f"The decisions database is of the kind {found.get_backend_name()!r}: give SQLite or PostgreSQL."
    )


def _sqlite(path: Path) -> sa.Engine:
    if path == Path():
        raise Refusal("The decisions database needs a file: write sqlite:///file.db.")
    engine = sa.create_engine(
        f"sqlite:///{path}",
        json_serializer=SCRIPT,
        connect_args={"timeout": WAIT, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where SQLAlchemy says so
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "PRAGMA synchronous = NORMAL"
        )  # a commit survives SIGKILL without waiting for the disk; only a power cut may take the last ones
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # a writer takes its place at once: a reader that begins to write would be refused instead of waiting
        connection.exec_driver_sql(
            "BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN"
        )

    return engine


def _postgresql(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url, json_serializer=SCRIPT, pool_pre_ping=True, connect_args={"connect_timeout": int(WAIT)}
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.execute(f"SET lock_timeout = '{WAIT}s'")
        connection.commit()

    return engine


def open(url: str) -> sa.Engine:
    """The decisions database at the URL, its tables made if it is empty; raises Unavailable in a sentence."""
    engine = connect(url)
    if engine.dialect.name == "sqlite":
        place = Path(str(engine.url.database)).parent
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"The decisions database cannot be kept in {place}: {error.strerror}. Make the folder, or name another database by ML_WORKFLOW_DATABASE."
            ) from None
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":  # where several processes may find it empty at once
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(BUILDING)))
        if not sa.inspect(connection).get_table_names():
            build(connection)
    if fault := ready(engine):
        raise Unavailable(fault)
    return engine


def build(connection: sa.Connection) -> None:
    """All tables in an empty database, at the newest migration."""
    metadata.create_all(connection)
    MigrationContext.configure(connection).stamp(steps(), "head")


def migrate(engine: sa.Engine) -> None:
    """Bring a database, empty or at a known migration, to the newest in one transaction; any other is refused."""
    with writing(engine) as connection:
        context = MigrationContext.configure(
            connection, opts={"fn": lambda revision, _: steps()._upgrade_revs("head", revision)}
        )
        if (
            sa.inspect(connection).get_table_names()
            and context.get_current_revision() not in known()
        ):
            raise Refusal(_outdated(connection))
        with Operations.context(context):
            context.run_migrations()


def known() -> set[str]:
    """The names of the migrations."""
    return {step.revision for step in steps().walk_revisions()}


def ready(engine: sa.Engine) -> str:
    """ "" when the database takes decisions now, else what is wrong in a sentence."""
    try:
        with writing(engine) as connection:
            if fault := _outdated(connection):
                return fault
            connection.execute(
                requests.insert(), {"key": "probe", "body": "0" * 65536, "time": 0.0}
            )
            connection.rollback()
    except Unavailable as error:
        return str(error)
    return ""


def _outdated(connection: sa.Connection) -> str:
    """Why the tables are not those that this program knows, or ""."""
    stands, newest = (
        MigrationContext.configure(connection).get_current_revision(),
        steps().get_current_head(),
    )
    if stands == newest:
        return ""
    if stands in known():
        return f"{place(connection.engine)} is at the older migration {stands}, this program needs {newest}: run `ml-workflow experiment migrate`."
    if stands:
        return f"{place(connection.engine)} is at the migration {stands}, which this program does not know: use the newer version of the program that made it."
    return f"{place(connection.engine)} has no tables of this program: give an empty database, or correct ML_WORKFLOW_DATABASE."


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that writes: committed whole at the end, else nothing of it; raises Unavailable in a sentence."""
    with _sentences(engine), engine.execution_options(writes=True).begin() as connection:
        yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection to read from; raises Unavailable in a sentence."""
    with _sentences(engine), engine.connect() as connection:
        yield connection


@contextmanager
def _sentences(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    except (
        sa.exc.OperationalError,
        sa.exc.InternalError,
        sa.exc.TimeoutError,
        sa.exc.InterfaceError,
    ) as error:
        raise Unavailable(sentence(engine, error)) from error
    except sa.exc.DatabaseError as error:
        if (
            type(error) is not sa.exc.DatabaseError
            and getattr(error.orig, "sqlstate", None) not in FAULTS
        ):
            raise
        raise Unavailable(sentence(engine, error)) from error


def sentence(engine: sa.Engine, error: Exception) -> str:
    """What is wrong with the database, without its user, password or rows."""
    cause = getattr(error, "orig", None) or error
    said = f"{getattr(cause, 'sqlstate', None) or ''} {first_line(cause)}"
    known = next((fault for sign, fault in FAULTS.items() if sign in said), None)
    return f"{place(engine)} {known or 'does not answer: check that its server runs and that ML_WORKFLOW_DATABASE is right'}."


def place(engine: sa.Engine) -> str:
    """How sentences call the database: its file, or its name and host."""
    host = engine.url.host or engine.url.query.get("host") or "this machine"
    return f"The decisions database {engine.url.database}" + (
        "" if engine.dialect.name == "sqlite" else f" on {host}"
    )
