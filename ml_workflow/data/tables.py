"""Reading source tables: CSV, Parquet, JSON lines, Excel, a folder of them, or a database."""

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb
import pandas as pd

from ..errors import Refusal
from ..store.address import connected, first_line, is_database
from ..store.files import read, reading, root


def content_hash(frame: pd.DataFrame) -> str:
    "SHA-256 over the rows and column names."
    rows = pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()
    return hashlib.sha256(rows + "|".join(map(str, frame.columns)).encode()).hexdigest()


FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet"} | {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".xlsx": "excel",
    ".xls": "excel",
}


def read_table(uri: str, query: str | None = None) -> pd.DataFrame:
    """One table, columns named by text; a database URL needs a `query`. Raises Refusal in a sentence."""
    frame = read_database(uri, query) if is_database(uri) else read_files(uri)
    frame.columns = [str(column) for column in frame.columns]
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise Refusal(
            f"{uri} has more than one column named {repeated[0]!r}: rename them, then run again."
        )
    if frame.empty:
        raise Refusal(
            f"{uri} has no rows: give a table with at least one row for each class of the target."
        )
    return frame


def read_files(uri: str) -> pd.DataFrame:
    """A file, or the files of a folder one below the other."""
    path = Path(uri).expanduser()
    path = path if path.is_absolute() else root() / path
    if not path.exists():
        raise Refusal(
            f"The source {uri} does not exist (looked at {path}): correct `uri` in the task file."
        )
    parts = sorted(p for p in reading(path).iterdir() if format_of(p)) if path.is_dir() else [path]
    if not parts:
        raise Refusal(f"The folder {uri} holds no CSV, Parquet, JSON or Excel file.")
    return (
        pd.concat([read_file(part) for part in parts], ignore_index=True)
        if len(parts) > 1
        else read_file(parts[0])
    )


def format_of(path: Path) -> str | None:
    """csv, parquet, json or excel by the name's ending (.gz and .zst are looked through), else None."""
    endings = [ending for ending in path.suffixes if ending not in (".gz", ".zst")]
    return FORMATS.get(endings[-1].lower()) if endings and not path.name.startswith(".") else None


def read_file(path: Path) -> pd.DataFrame:
    """One file, by its format."""
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        "csv": read_csv,
        "excel": pd.read_excel,
        "parquet": pd.read_parquet,
        "json": read_json,
    }
    kind = format_of(path)
    if kind is None:
        raise Refusal(
            f"{path.name} is no table that can be read: give CSV, Parquet, JSON lines or Excel."
        )
    try:
        return readers[kind](reading(path))
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(f"{path.name} cannot be read as {kind}: {first_line(error)}") from error


def read_json(path: Path) -> pd.DataFrame:
    """JSON lines; JSON has no dates, so texts that all read as ISO dates are moments."""
    frame = duckdb.read_json(str(path)).df()
    for name in frame.select_dtypes(["object", "string"]):
        known = frame[name].dropna()
        if len(known) and known.astype(str).str.match(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d|$)").all():
            with suppress(ValueError):
                frame[name] = pd.to_datetime(frame[name], format="ISO8601")
    return frame


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file: separator, header, types and encoding are found out; names stay as they stand in the file."""
    if path.stat().st_size == 0:
        raise Refusal(f"{path.name} is empty: give a table with a header and rows.")
    if path.suffix not in (".gz", ".zst") and b"\0" in path.read_bytes()[:4096]:
        raise Refusal(f"{path.name} cannot be read as csv: it holds bytes that are no text.")
    if path.suffix not in (".gz", ".zst") and not _is_utf8(path):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "table.csv"
            copy.write_text(path.read_text(encoding="cp1252", errors="replace"), encoding="utf-8")
            return _sniffed(copy)
    return _sniffed(path)


def _sniffed(path: Path) -> pd.DataFrame:
    connection = duckdb.connect()
    try:
        relation = connection.read_csv(str(path), sample_size=-1, null_padding=False)
        header = connection.sql(
            f"SELECT * FROM read_csv({_quoted(str(path))}, all_varchar=true, header=false, sample_size=1000) LIMIT 2"
        ).df()
        frame = relation.df()
    finally:
        connection.close()
    if len(header) < 2:
        raise Refusal(
            f"{path.name} has no rows below its first line: give a table with a header and rows."
        )
    first = [str(name) for name in header.iloc[0]]
    repeated = {name for name in first if first.count(name) > 1 and name not in ("None", "nan", "")}
    if repeated and any(f"{name}_1" in frame.columns for name in repeated):
        raise Refusal(
            f"{path.name} has more than one column named {sorted(repeated)[0]!r}: rename them, then run again."
        )
    return frame


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _is_utf8(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            while file.read(1 << 20):
                pass
        return True
    except UnicodeDecodeError:
        return False


def read_database(uri: str, query: str | None) -> pd.DataFrame:
    """The rows of a query, noted by their content; the URL's ${NAME} are taken from the environment."""
    from sqlalchemy import text

    if not query:
        raise Refusal(
            f"The source {uri} is a database: say in the task file which rows by `query: SELECT …`."
        )
    with connected(uri) as connection:
        frame = pd.read_sql(text(query), connection)
    read[f"query:{uri}:{query}"] = str(pd.util.hash_pandas_object(frame.astype(str)).sum())
    return frame
