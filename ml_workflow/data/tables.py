"""Reading source tables: CSV, Parquet, JSON lines, Excel, a folder of them, or a database."""

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb
import pandas as pd

from ..errors import Refusal
from ..store.address import connection_to, first_line, is_database
from ..store.files import provenance, root, track

PACKED = (".gz", ".zst")
FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".xlsx": "excel",
    ".xls": "excel",
}


def content_hash(frame: pd.DataFrame) -> str:
    """SHA-256 over the rows and column names."""
    rows = pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()
    return hashlib.sha256(rows + "|".join(map(str, frame.columns)).encode()).hexdigest()


def read_table(uri: str, query: str | None = None) -> pd.DataFrame:
    """One table, columns named by text; a database URL needs a `query`. Raises Refusal."""
    frame = read_database(uri, query) if is_database(uri) else read_files(uri)
    frame.columns = [str(column) for column in frame.columns]
    check_names(uri, list(frame.columns))
    if frame.empty:
        raise Refusal(
            f"{uri} has no rows: give a table with at least one row for each class of the target."
        )
    return frame


def check_names(place: str, names: list[str]) -> None:
    """Refuse a table in which two columns have one name."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Refusal(
            f"{place} has more than one column named {repeated[0]!r}: rename them, then run again."
        )


def files_of(uri: str) -> list[Path]:
    """The file, or the tables of a folder by name."""
    path = root() / Path(uri).expanduser()
    if not path.exists():
        raise Refusal(
            f"The source {uri} does not exist (looked at {path}): "
            "give a file, a folder of files, or the URL of a database with a query."
        )
    if not path.is_dir():
        return [path]
    files = sorted(part for part in path.iterdir() if format_of(part))
    if not files:
        raise Refusal(f"The folder {uri} holds no CSV, Parquet, JSON or Excel file.")
    return files


def read_files(uri: str) -> pd.DataFrame:
    """A file, or the files of a folder one below the other, tracked by content."""
    files = files_of(uri)
    for path in sorted({root() / Path(uri).expanduser(), *files}):
        track(path)
    frames = [read_file(path) for path in files]
    return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]


def format_of(path: Path) -> str | None:
    """csv, parquet, json or excel by the name's ending (.gz and .zst are looked through)."""
    endings = [ending for ending in path.suffixes if ending not in PACKED]
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
        return readers[kind](path)
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(f"{path.name} cannot be read as {kind}: {first_line(error)}") from error


def read_json(path: Path) -> pd.DataFrame:
    """JSON lines; JSON has no dates, so texts that all read as ISO dates are times."""
    frame = duckdb.read_json(str(path)).df()
    for name in frame.select_dtypes(["object", "string"]):
        known = frame[name].dropna().astype(str)
        if len(known) and known.str.match(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d|$)").all():
            with suppress(ValueError):
                frame[name] = pd.to_datetime(frame[name], format="ISO8601")
    return frame


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file: separator, header, types and encoding are found out; names stay as they are."""
    if path.stat().st_size == 0:
        raise Refusal(f"{path.name} is empty: give a table with a header and rows.")
    if path.suffix in PACKED or _is_utf8(path):
        return _sniffed(path, path.name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "table.csv"
        copy.write_text(path.read_text(encoding="cp1252", errors="replace"), encoding="utf-8")
        return _sniffed(copy, path.name)


def _sniffed(path: Path, name: str) -> pd.DataFrame:
    """The table of a CSV file; DuckDB renames columns of one name, so these are looked for."""
    with duckdb.connect() as connection:
        frame = connection.read_csv(str(path), sample_size=-1, null_padding=False).df()
        rows = connection.read_csv(str(path), all_varchar=True, header=False, sample_size=1000)
        lines = rows.limit(2).fetchall()
    if len(lines) < 2:
        raise Refusal(
            f"{name} has no rows below its first line: give a table with a header and rows."
        )
    header = [cell for cell in lines[0] if cell and f"{cell}_1" in frame.columns]
    check_names(name, header)
    return frame


def _is_utf8(path: Path) -> bool:
    """Whether a file's text is UTF-8; refused where it is no text."""
    with path.open("rb") as file:
        if b"\0" in file.read(4096):
            raise Refusal(f"{path.name} cannot be read as csv: it holds bytes that are no text.")
    try:
        with path.open(encoding="utf-8") as text:
            while text.read(1 << 20):
                pass
        return True
    except UnicodeDecodeError:
        return False


def read_database(uri: str, query: str | None) -> pd.DataFrame:
    """The rows of a query, tracked by content; the URL's ${NAME} come from the environment."""
    from sqlalchemy import text

    if not query:
        raise Refusal(
            f"The source {uri} is a database: say in the task file which rows by `query: SELECT …`."
        )
    with connection_to(uri) as connection:
        frame = pd.read_sql(text(query), connection)
    provenance[f"query:{uri}:{query}"] = str(pd.util.hash_pandas_object(frame.astype(str)).sum())
    return frame
