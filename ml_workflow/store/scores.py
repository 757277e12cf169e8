"""A table of scores in a database: rows upserted by unit, rows put aside with the reason, and how far each source was scored."""

import io
from typing import Any, NamedTuple

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..errors import Refusal


class Tables(NamedTuple):
    """The table of scores (key `unit`), the rows put aside (key: a digest of place and content), and the marks (key `source`)."""

    scores: sa.Table
    quarantine: sa.Table
    marks: sa.Table


def tables_of(
    name: str, unit: sa.types.TypeEngine[Any], columns: dict[str, sa.types.TypeEngine[Any]]
) -> Tables:
    """The three tables for scores of these columns."""
    metadata, text, time = sa.MetaData(), sa.Text, sa.DateTime(timezone=True)
    scores = sa.Table(
        name,
        metadata,
        sa.Column("unit", unit, primary_key=True),
        *(sa.Column(c, kind) for c, kind in columns.items()),
        sa.Column("version", text, nullable=False),
        sa.Column("time", time, nullable=False),
    )
    quarantine = sa.Table(
        f"{name}_quarantine",
        metadata,
        sa.Column("id", text, primary_key=True),
        sa.Column("source", text, nullable=False),
        sa.Column("row", text, nullable=False),
        sa.Column("reason", text, nullable=False),
        sa.Column("time", time, nullable=False),
    )
    marks = sa.Table(
        f"{name}_marks",
        metadata,
        sa.Column("source", text, primary_key=True),
        sa.Column("content", text, nullable=False),
        sa.Column("position", text, nullable=False),
        sa.Column("version", text, nullable=False),
        sa.Column("time", time, nullable=False),
    )
    return Tables(scores, quarantine, marks)


def unit_type(column: pd.Series) -> sa.types.TypeEngine[Any]:
    """How a database keeps such a key: whole numbers, times, or text."""
    kinds = pd.api.types
    return (
        sa.BigInteger()
        if kinds.is_integer_dtype(column)
        else sa.DateTime()
        if kinds.is_datetime64_any_dtype(column)
        else sa.Text()
    )


def prepare(connection: sa.Connection, tables: Tables) -> None:
    """Make the tables that are missing; refused where a table of that name has other columns, or the database cannot upsert."""
    if connection.dialect.name not in ("sqlite", "postgresql"):
        raise Refusal(
            f"Scores are kept in SQLite or PostgreSQL, not in {connection.dialect.name}: give a URL of one of these."
        )
    tables.scores.metadata.create_all(connection)
    inspector = sa.inspect(connection)
    for table in tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        key = inspector.get_pk_constraint(table.name)["constrained_columns"]
        if there != set(table.columns.keys()) or key != [c.name for c in table.primary_key]:
            raise Refusal(
                f"The table {table.name} there is of another kind (it has {', '.join(sorted(there))}): give another --table."
            )
    connection.commit()


def mark_of(connection: sa.Connection, name: str, source: str) -> tuple[str, str, str] | None:
    """Content, position and version of what was last kept of a source; None for a source that is new."""
    if not sa.inspect(connection).has_table(f"{name}_marks"):
        return None
    marks = sa.table(
        f"{name}_marks",
        sa.column("source"),
        sa.column("content"),
        sa.column("position"),
        sa.column("version"),
    )
    row = connection.execute(
        sa.select(marks.c.content, marks.c.position, marks.c.version).where(
            marks.c.source == source
        )
    ).first()
    return (row[0], row[1], row[2]) if row else None


def keep(
    connection: sa.Connection,
    tables: Tables,
    scores: pd.DataFrame,
    bad: pd.DataFrame,
    mark: dict[str, Any],
) -> None:
    """Upsert rows, put bad ones aside and move the mark of their source on, all or nothing."""
    upsert(connection, tables.scores, scores)
    upsert(connection, tables.quarantine, bad)
    upsert(connection, tables.marks, pd.DataFrame([mark]))
    connection.commit()


def upsert(connection: sa.Connection, table: sa.Table, frame: pd.DataFrame) -> None:
    """Insert rows or replace those of the same key: by COPY and a temporary table on PostgreSQL, row by row on SQLite."""
    if frame.empty:
        return
    names, keys = list(frame.columns), [c.name for c in table.primary_key]
    if connection.dialect.name == "postgresql":
        new = sa.Table(
            f"new_{table.name}"[:63],
            sa.MetaData(),
            *(sa.Column(c.name, c.type) for c in table.columns),
            prefixes=["TEMPORARY"],
            postgresql_on_commit="DROP",
        )
        new.create(connection)
        _copy(connection, new, frame)
        statement: Any = postgresql.insert(table).from_select(
            names, sa.select(*(new.c[name] for name in names))
        )
    else:
        statement = sqlite.insert(table)
    statement = statement.on_conflict_do_update(
        index_elements=keys,
        set_={name: statement.excluded[name] for name in names if name not in keys},
    )
    connection.execute(
        statement, *([] if connection.dialect.name == "postgresql" else [_records(frame)])
    )


def _copy(connection: sa.Connection, table: sa.Table, frame: pd.DataFrame) -> None:
    """COPY a frame into a table, as CSV; numbers with all their digits."""
    quote = connection.dialect.identifier_preparer.quote
    columns, text = ", ".join(quote(name) for name in frame.columns), io.StringIO()
    wide = {
        name: "float64" for name in frame.select_dtypes("float32")
    }  # else its shorter text would be another number
    frame.astype(wide).to_csv(
        text, index=False, header=False, na_rep=r"\N", date_format="%Y-%m-%dT%H:%M:%S.%f%z"
    )
    driver: Any = connection.connection.driver_connection
    with driver.cursor().copy(
        f"COPY {quote(table.name)} ({columns}) FROM STDIN WITH (FORMAT csv, NULL '\\N')"
    ) as copy:
        copy.write(text.getvalue())


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as Python values; missing ones as None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [
        {
            str(name): value.to_pydatetime() if isinstance(value, pd.Timestamp) else value
            for name, value in row.items()
        }
        for row in plain.to_dict("records")
    ]
