"""What is to be scored, in pieces: files by their content, the rows of a query by a column that grows."""

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from ..data.parts import ROWS, Chunk, Table, frame_of, table_of
from ..data.tables import format_of, read_file
from ..errors import Refusal
from ..store.files import digest, name_of, root

END = "end"
"""Where a source stands of which nothing is left."""


class Mark(NamedTuple):
    """How far a source was scored: its content (a file's SHA-256; "" for a query), the position after the last row as JSON, and the version that scored it."""

    content: str
    position: str
    version: str


class Piece(NamedTuple):
    """Some rows of a source: how to read them, how many, the number of the first in its file, and the mark once they are kept."""

    source: str
    read: Callable[[], pd.DataFrame]
    rows: int
    first: int | None
    mark: Mark


class Pieces(NamedTuple):
    """The rows that are left of a source: how many, and some after the other."""

    rows: int
    pieces: Iterator[Piece]


def files_of(uri: str) -> list[Path]:
    """The file, or the tables of a folder by name."""
    path = root() / Path(uri).expanduser()
    if not path.exists():
        raise Refusal(
            f"The source {uri} does not exist (looked at {path}): give a file, a folder of files, or a database URL with --query."
        )
    found = sorted(p for p in path.iterdir() if format_of(p)) if path.is_dir() else [path]
    if not found:
        raise Refusal(f"The folder {uri} holds no CSV, Parquet, JSON or Excel file.")
    return found


def file_pieces(path: Path, version: str, before: Mark | None) -> Pieces:
    """The rows of a file that were not scored by this version with this content. Parquet is read by the workers, out of core; other files at once."""
    content, done = digest(path), 0
    if before and (before.content, before.version) == (content, version):
        if before.position == json.dumps(END):
            return Pieces(0, iter(()))
        done = json.loads(before.position)
    reads = _parquet(path) if format_of(path) == "parquet" else _slices(read_file(path))
    total = sum(rows for rows, _ in reads)

    def pieces() -> Iterator[Piece]:
        first = 0
        for rows, read in reads:
            after = first + rows
            if first >= done:
                yield Piece(
                    name_of(path),
                    read,
                    rows,
                    first,
                    Mark(content, json.dumps(END if after == total else after), version),
                )
            first = after

    return Pieces(total - done, pieces())


def _parquet(path: Path) -> list[tuple[int, Callable[[], pd.DataFrame]]]:
    """Rows and reading of each chunk of a Parquet file, with the types of the whole file."""
    table, metadata = table_of(path), pq.read_metadata(path)
    return [
        (
            sum(metadata.row_group(group).num_rows for group in chunk.groups),
            partial(_chunk, table, chunk),
        )
        for chunk in table.chunks()
    ]


def _chunk(table: Table, chunk: Chunk) -> pd.DataFrame:
    return frame_of(pa.Table.from_batches(list(table.batches(chunk)), table.schema), table)


def _slices(frame: pd.DataFrame) -> list[tuple[int, Callable[[], pd.DataFrame]]]:
    parts = [
        frame.iloc[start : start + ROWS].reset_index(drop=True)
        for start in range(0, len(frame), ROWS)
    ]
    return [(len(part), partial(_as_it_is, part)) for part in parts]


def _as_it_is(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def query_name(uri: str, query: str, grows: str | None) -> str:
    """What marks a query as one and the same, without what its URL may keep secret."""
    return f"{hashlib.sha256(f'{uri} {query} {grows}'.encode()).hexdigest()[:12]} {query}"


def query_pieces(
    connection: sa.Connection,
    name: str,
    query: str,
    grows: str | None,
    version: str,
    before: Mark | None,
) -> Pieces:
    """The rows of a query, streamed; with a column that grows, in its order and from where this version stopped, that row again.

    Rows equal in that column to the last that was scored come again: one of them may have come later.
    """
    known = json.loads(before.position) if grows and before and before.version == version else None
    inner, condition, order = f"({query.rstrip().rstrip(';')}) AS source", "", ""
    if grows:
        column = connection.dialect.identifier_preparer.quote(grows)
        condition, order = (
            (f" WHERE {column} >= :known" if known is not None else ""),
            f" ORDER BY {column}",
        )
        if missing := connection.execute(
            sa.text(f"SELECT COUNT(*) FROM {inner} WHERE {column} IS NULL")
        ).scalar_one():
            raise Refusal(
                f"{missing:,} rows have no {grows}, by which --watermark tells what is new: fill it, or give another column."
            )
    values = {"known": known} if condition else {}
    total = connection.execute(
        sa.text(f"SELECT COUNT(*) FROM {inner}{condition}"), values
    ).scalar_one()
    text = sa.text(f"SELECT * FROM {inner}{condition}{order}")
    frames: Iterator[pd.DataFrame] = pd.read_sql(
        text, connection.execution_options(stream_results=True), params=values, chunksize=ROWS
    )
    if connection.dialect.name == "sqlite":  # where an open reader keeps the writer out
        frames = iter(list(frames))
    return Pieces(
        int(total),
        (
            Piece(
                name,
                partial(_as_it_is, f),
                len(f),
                None,
                Mark("", json.dumps(_last(f, grows), default=str), version),
            )
            for f in frames
            if len(f)
        ),
    )


def _last(frame: pd.DataFrame, column: str | None) -> Any:
    """The last value of a column as JSON can keep it, and the database compare it."""
    if column is None:
        return END
    value = frame[column].iloc[-1]
    return (
        value.isoformat()
        if hasattr(value, "isoformat")
        else value.item()
        if hasattr(value, "item")
        else value
    )
