"""Tables larger than memory: Parquet files read in batches, all with the types that pandas gives the whole table."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import Refusal

ROWS = 100_000
"""How many rows a function gets at once, about: enough that pandas is quick, few enough to fit in memory many times."""


class Chunk(NamedTuple):
    """Neighbouring row groups of one file."""

    file: Path
    groups: tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """Parquet files one below the other: the columns' types, those in which some value is missing, rows in all and rows read at once."""

    files: tuple[Path, ...]
    schema: pa.Schema
    gaps: frozenset[str]
    rows: int
    at_once: int

    def chunks(self) -> list[Chunk]:
        """The row groups in order, small ones of a file together until they are as many as are read at once."""
        found: list[Chunk] = []
        for file in self.files:
            size, metadata = self.at_once, pq.read_metadata(file)
            for group in range(metadata.num_row_groups):
                if size >= self.at_once:
                    found, size = [*found, Chunk(file, ())], 0
                found[-1] = Chunk(file, (*found[-1].groups, group))
                size += metadata.row_group(group).num_rows
        return found

    def batches(self, chunk: Chunk) -> Iterator[pa.RecordBatch]:
        """The rows of a chunk, some at once."""
        with pq.ParquetFile(chunk.file, pre_buffer=False) as parquet:
            for batch in parquet.iter_batches(self.at_once, chunk.groups, use_threads=False):
                yield batch.select(self.schema.names).cast(self.schema, safe=False)


def table_of(source: Path, at_once: int = ROWS) -> Table:
    """A Parquet file or the Parquet files of a folder; refused when there is none, or when they do not fit together."""
    files = parquet_files(source)
    try:
        schemas = [
            pa.schema([pa.field(f.name, _plain(f.type)) for f in pq.read_schema(file)])
            for file in files
        ]
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        metadata = [pq.read_metadata(file) for file in files]
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise Refusal(
            f"{source} cannot be read as one Parquet table: {str(error).splitlines()[0]}"
        ) from error
    for file, own in zip(files, schemas, strict=True):
        if lacking := [name for name in schema.names if name not in own.names]:
            raise Refusal(
                f"{file} has no column {lacking[0]!r}, which other files of {source} have."
            )
    gaps = frozenset(name for m in metadata for name in _gaps(m))
    rows = sum(m.num_rows for m in metadata)
    if not rows:
        raise Refusal(f"{source} has no rows.")
    wide = [
        f.with_type(pa.float64()) if f.name in gaps and pa.types.is_integer(f.type) else f
        for f in schema
    ]
    return Table(tuple(files), pa.schema(wide), gaps, rows, at_once)


def parquet_files(source: Path) -> list[Path]:
    """The Parquet files of a folder by name, but for hidden ones; or the one file."""
    found = (
        sorted(p for p in source.glob("*.parquet") if not p.name.startswith((".", "_")))
        if source.is_dir()
        else [source]
    )
    if not found or not source.exists():
        raise Refusal(f"{source} is no Parquet file and no folder that holds one.")
    return found


def read(source: Path) -> pd.DataFrame:
    """A whole table in memory, as steps see it."""
    table = table_of(source)
    batches = [batch for chunk in table.chunks() for batch in table.batches(chunk)]
    return frame_of(pa.Table.from_batches(batches, table.schema), table)


def frame_of(rows: pa.RecordBatch | pa.Table, table: Table) -> pd.DataFrame:
    """Rows of a table for pandas, with the types that the whole table has there, whatever these rows lack."""
    frame = rows.to_pandas(use_threads=False)
    truths = [f.name for f in rows.schema if pa.types.is_boolean(f.type) and f.name in table.gaps]
    return frame.astype(dict.fromkeys(truths, object))


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary file or folder beside `path`, synced and moved there at the end: whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        for file in temporary.rglob("*") if temporary.is_dir() else [temporary]:
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _gaps(metadata: pq.FileMetaData) -> Iterator[str]:
    """The columns of a file in which a value is missing, or may be."""
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            if (
                column.statistics is None
                or not column.statistics.has_null_count
                or column.statistics.null_count
            ):
                yield column.path_in_schema
