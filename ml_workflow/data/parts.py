"""Tables larger than memory: Parquet files in batches, with the types pandas gives the whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import Refusal
from ..store.address import first_line

ROWS = 100_000
"""How many rows a function gets at once, about: pandas is quick, and many times as many fit."""


class Chunk(NamedTuple):
    """Neighbouring row groups of one file, and how many rows they have."""

    file: Path
    groups: tuple[int, ...]
    rows: int


@dataclass(frozen=True)
class Table:
    """Parquet files one below the other."""

    files: tuple[Path, ...]
    schema: pa.Schema
    """The columns with their types."""
    gaps: frozenset[str]
    """The columns in which some value is missing."""
    rows: int
    at_once: int
    """How many rows are read at once."""

    def chunks(self) -> list[Chunk]:
        """The row groups in order, small ones of a file together until they are `at_once`."""
        chunks: list[Chunk] = []
        for file in self.files:
            metadata = pq.read_metadata(file)
            for group in range(metadata.num_row_groups):
                if not chunks or chunks[-1].file != file or chunks[-1].rows >= self.at_once:
                    chunks.append(Chunk(file, (), 0))
                _, groups, rows = chunks[-1]
                rows += metadata.row_group(group).num_rows
                chunks[-1] = Chunk(file, (*groups, group), rows)
        return chunks

    def batches(self, chunk: Chunk) -> Iterator[pa.RecordBatch]:
        """The rows of a chunk, some at once."""
        with pq.ParquetFile(chunk.file, pre_buffer=False) as parquet:
            for batch in parquet.iter_batches(self.at_once, chunk.groups, use_threads=False):
                yield batch.select(self.schema.names).cast(self.schema, safe=False)


def table_of(source: Path, at_once: int = ROWS) -> Table:
    """A Parquet file, or those of a folder; refused when there is none, or they do not fit."""
    files = parquet_files(source)
    try:
        schemas = [pq.read_schema(file) for file in files]
        schema = pa.unify_schemas(list(map(_plain, schemas)), promote_options="permissive")
        metadata = [pq.read_metadata(file) for file in files]
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        reason = first_line(error)
        raise Refusal(f"{source} cannot be read as one Parquet table: {reason}") from error
    for file, own in zip(files, schemas, strict=True):
        if lacking := [name for name in schema.names if name not in own.names]:
            raise Refusal(
                f"{file} has no column {lacking[0]!r}, which other files of {source} have."
            )
    gaps = frozenset(name for part in metadata for name in _gaps(part))
    rows = sum(part.num_rows for part in metadata)
    if not rows:
        raise Refusal(f"{source} has no rows.")
    for place, field in enumerate(schema):
        if field.name in gaps and pa.types.is_integer(field.type):
            schema = schema.set(place, field.with_type(pa.float64()))
    return Table(tuple(files), schema, gaps, rows, at_once)


def parquet_files(source: Path) -> list[Path]:
    """The Parquet files of a folder by name, but for hidden ones; or the one file."""
    files = [source]
    if source.is_dir():
        files = sorted(p for p in source.glob("*.parquet") if not p.name.startswith((".", "_")))
    if not files or not source.exists():
        raise Refusal(f"{source} is no Parquet file and no folder that holds one.")
    return files


def frame_of(rows: pa.RecordBatch | pa.Table, table: Table) -> pd.DataFrame:
    """Rows for pandas with the types that the whole table has there, whatever these rows lack."""
    frame = rows.to_pandas(use_threads=False)
    booleans = [f.name for f in rows.schema if pa.types.is_boolean(f.type) and f.name in table.gaps]
    return frame.astype(dict.fromkeys(booleans, object))


def _plain(schema: pa.Schema) -> pa.Schema:
    """Names and types, those of dictionaries' values for dictionaries."""
    kinds = {
        field.name: field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        for field in schema
    }
    return pa.schema(kinds)


def _gaps(metadata: pq.FileMetaData) -> Iterator[str]:
    """The columns of a file in which a value is missing, or may be."""
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            known = column.statistics
            if known is None or not known.has_null_count or known.null_count:
                yield column.path_in_schema
