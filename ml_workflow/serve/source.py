"""What is to be scored, in pieces: files by their content, a query by a column that grows."""

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from ..data.features import as_it_is
from ..data.parts import ROWS, Chunk, Table, frame_of, table_of
from ..data.tables import format_of, read_file
from ..errors import Refusal
from ..store.files import digest, name_of
from ..store.scores import Mark
from .rows import as_json

END = "end"
"""Where a source stands of which nothing is left."""
Read = Callable[[], pd.DataFrame]


class Order(NamedTuple):
    """What to score into what.

    A source with its query and the column that grows in it (`watermark`), a database and its table,
    and the address of a Dask scheduler, "" for none.
    """

    task: str
    source: str
    query: str | None
    watermark: str | None
    target: str
    table: str
    scheduler: str


class Piece(NamedTuple):
    """Some rows of a source: how to read them, and the mark once they are kept.

    `first` is the number of the first row in its file, None for a query.
    """

    source: str
    read: Read
    first: int | None
    mark: Mark


class Pieces(NamedTuple):
    """The rows that are left of a source: how many, and some after the other."""

    rows: int
    pieces: Iterator[Piece]


def file_pieces(path: Path, version: str, before: Mark | None) -> Pieces:
    """The rows of a file that were not scored by this version with this content.

    Parquet is read by the workers, out of core; other files at once.
    """
    content, position = digest(path), 0
    if before and (before.content, before.version) == (content, version):
        position = json.loads(before.position)
    if position == END:
        return Pieces(0, iter(()))
    reads = _parquet(path) if format_of(path) == "parquet" else _slices(read_file(path))
    total, first, pieces = sum(rows for rows, _ in reads), 0, []
    for rows, read in reads:
        after = first + rows
        mark = Mark(content, json.dumps(END if after == total else after), version)
        if first >= position:
            pieces.append(Piece(name_of(path), read, first, mark))
        first = after
    return Pieces(total - position, iter(pieces))


def _parquet(path: Path) -> list[tuple[int, Read]]:
    """Rows and reading of each chunk of a Parquet file, with the types of the whole file."""
    table = table_of(path)
    return [(chunk.rows, partial(_chunk, table, chunk)) for chunk in table.chunks()]


def _chunk(table: Table, chunk: Chunk) -> pd.DataFrame:
    return frame_of(pa.Table.from_batches(list(table.batches(chunk)), table.schema), table)


def _slices(frame: pd.DataFrame) -> list[tuple[int, Read]]:
    """Rows and reading of each part of a frame."""
    starts = range(0, len(frame), ROWS)
    parts = [frame.iloc[start : start + ROWS].reset_index(drop=True) for start in starts]
    return [(len(part), partial(as_it_is, part)) for part in parts]


def query_name(order: Order) -> str:
    """What marks a query as one and the same, without what its URL may keep secret."""
    digest = hashlib.sha256(f"{order.source} {order.query} {order.watermark}".encode()).hexdigest()
    return f"{digest[:12]} {order.query}"


def query_pieces(
    connection: sa.Connection, order: Order, version: str, before: Mark | None
) -> Pieces:
    """The rows of a query, streamed; refused where the order has none.

    With a column that grows, in its order and from where this version stopped, that row again:
    of the rows equal in that column to the last one scored, one may have come later.
    """
    if not order.query:
        raise Refusal(
            f"The source {order.source} is a database: say which rows by --query 'SELECT …'."
        )
    source = sa.text(f"({order.query.rstrip().rstrip(';')}) AS source")
    rows, grows = sa.select(sa.text("*")).select_from(source), order.watermark
    if grows:
        column: sa.ColumnClause[Any] = sa.column(grows)
        if missing := _count(connection, rows.where(column.is_(None))):
            raise Refusal(
                f"{missing:,} rows have no {grows}, by which --watermark tells what is new: "
                "fill it, or give another column."
            )
        if before and before.version == version:
            position = sa.literal(json.loads(before.position), sa.types.NullType())
            rows = rows.where(column >= position)
        rows = rows.order_by(column)
    total = _count(connection, rows.order_by(None))
    frames: Iterator[pd.DataFrame] = pd.read_sql(
        rows, connection.execution_options(stream_results=True), chunksize=ROWS
    )
    if connection.dialect.name == "sqlite":  # where an open reader keeps the writer out
        frames = iter(list(frames))

    def piece(frame: pd.DataFrame) -> Piece:
        last = as_json(frame[grows].iloc[-1]) if grows else END
        mark = Mark("", json.dumps(last, default=str), version)
        return Piece(query_name(order), partial(as_it_is, frame), None, mark)

    return Pieces(total, (piece(frame) for frame in frames if len(frame)))


def _count(connection: sa.Connection, rows: sa.Select[Any]) -> int:
    counted = sa.select(sa.func.count()).select_from(rows.subquery())
    return int(connection.execute(counted).scalar_one())
