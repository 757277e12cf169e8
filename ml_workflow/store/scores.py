"""A table of scores in a database: rows upserted by unit, others put aside with the reason."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..errors import Refusal

Type = sa.types.TypeEngine[Any]


class Mark(NamedTuple):
    """How far a source was scored, and the version that did.

    content is a file's SHA-256 ("" for a query), position the place after the last row, as JSON.
    """

    content: str
    position: str
    version: str


class Tables(NamedTuple):
    """Scores (key `unit`), rows put aside (a digest of place and content), marks (`source`)."""

    scores: sa.Table
    quarantine: sa.Table
    marks: sa.Table


def tables_of(name: str, unit: Type, columns: Mapping[str, Type]) -> Tables:
    """The three tables for scores of these columns."""
    metadata = sa.MetaData()
    text = partial(sa.Column, type_=sa.Text, nullable=False)

    def table(ending: str, *columns: sa.Column[Any]) -> sa.Table:
        time = sa.Column("time", sa.DateTime(timezone=True), nullable=False)
        return sa.Table(f"{name}{ending}", metadata, *columns, time)

    key = sa.Column("unit", unit, primary_key=True)
    own = (sa.Column(column, kind) for column, kind in columns.items())
    source = text("source", primary_key=True)
    return Tables(
        table("", key, *own, text("version")),
        table("_quarantine", text("id", primary_key=True), *map(text, ("source", "row", "reason"))),
        table("_marks", source, *map(text, Mark._fields)),
    )


def unit_type(column: pd.Series) -> Type:
    """How a database keeps such a key: whole numbers, times, or text."""
    if pd.api.types.is_integer_dtype(column):
        return sa.BigInteger()
    return sa.DateTime() if pd.api.types.is_datetime64_any_dtype(column) else sa.Text()


def prepare(connection: sa.Connection, tables: Tables) -> None:
    """Make the tables that are missing.

    Raises Refusal where a table of that name has other columns, or the database cannot upsert.
    """
    if connection.dialect.name not in ("sqlite", "postgresql"):
        raise Refusal(
            f"Scores are kept in SQLite or PostgreSQL, not in {connection.dialect.name}: "
            "give a URL of one of these."
        )
    tables.scores.metadata.create_all(connection)
    inspector = sa.inspect(connection)
    for table in tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        key = inspector.get_pk_constraint(table.name)["constrained_columns"]
        if there != set(table.columns.keys()) or key != table.primary_key.columns.keys():
            raise Refusal(
                f"The table {table.name} there is of another kind "
                f"(it has {', '.join(sorted(there))}): give another --table."
            )
    connection.commit()


def mark_of(connection: sa.Connection, name: str, source: str) -> Mark | None:
    """How far a source was scored into the table of this name; None for a source that is new."""
    marks = tables_of(name, sa.Text(), {}).marks
    if not sa.inspect(connection).has_table(marks.name):
        return None
    query = sa.select(*marks.c[Mark._fields]).where(marks.c.source == source)
    row = connection.execute(query).first()
    connection.rollback()  # a reader in the way of no one
    return Mark(*row) if row else None


def write_scores(
    connection: sa.Connection,
    tables: Tables,
    scores: pd.DataFrame,
    quarantine: pd.DataFrame,
    source: str,
    mark: Mark,
) -> None:
    """Upsert scores, put rows aside and move the mark of their source on, all or nothing."""
    progress = {"source": source, **mark._asdict(), "time": datetime.now(UTC)}
    upsert(connection, tables.scores, scores)
    upsert(connection, tables.quarantine, quarantine)
    upsert(connection, tables.marks, pd.DataFrame([progress]))
    connection.commit()


def upsert(connection: sa.Connection, table: sa.Table, frame: pd.DataFrame) -> None:
    """Insert the rows of a frame, which has all columns of the table, or replace those of a key."""
    if frame.empty:
        return
    names = table.columns.keys()
    rows = frame[names].astype(object).where(frame.notna(), None)
    statement: Any = sqlite.insert(table)
    parameters: Any = rows.to_dict("records")
    if connection.dialect.name == "postgresql":
        statement = postgresql.insert(table).from_select(names, _copy(connection, table, rows))
        parameters = None
    new = dict(statement.excluded.items())
    statement = statement.on_conflict_do_update(index_elements=table.primary_key, set_=new)
    connection.execute(statement, parameters)


def _copy(connection: sa.Connection, table: sa.Table, rows: pd.DataFrame) -> sa.Select[Any]:
    """The rows as a query of a temporary table, into which PostgreSQL copies them at once."""
    columns = (sa.Column(column.name, column.type) for column in table.columns)
    new = sa.Table(
        f"new_{table.name}"[:63],
        sa.MetaData(),
        *columns,
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )
    new.create(connection)
    driver: Any = connection.connection.driver_connection
    place = connection.dialect.identifier_preparer.format_table(new)
    with driver.cursor().copy(f"COPY {place} FROM STDIN") as copy:
        for row in rows.itertuples(index=False, name=None):
            copy.write_row(row)
    return sa.select(new)
