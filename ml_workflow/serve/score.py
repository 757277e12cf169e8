"""Scoring tables into a database: by pieces, each kept with its mark in one transaction, so that a kill neither loses nor doubles a row."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import lru_cache
from os import cpu_count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from ..data.parts import ROWS
from ..data.steps import workers
from ..errors import Refusal, nearest
from ..model.registry import champion, place_of
from ..model.release import Release, load_release
from ..store.address import connected, is_database
from ..store.files import name_of
from ..store.scores import keep, mark_of, prepare, tables_of, unit_type
from .source import Mark, Piece, Pieces, file_pieces, files_of, query_name, query_pieces


class Order(NamedTuple):
    """What to score into what: a source with its query and the column that grows in it, a database and its table, and a Dask scheduler or none."""

    task: str
    source: str
    query: str | None
    watermark: str | None
    target: str
    table: str
    scheduler: str


class Scored(NamedTuple):
    """The rows of a piece as they are kept: scores by unit, rows put aside with the reason, and how many gave way to a later one of their unit."""

    scores: pd.DataFrame
    bad: pd.DataFrame
    repeated: int


class Counts(NamedTuple):
    """Rows read, scored, put aside, and followed by another of the same unit; the last three add up to the first."""

    read: int = 0
    scored: int = 0
    aside: int = 0
    repeated: int = 0

    def plus(self, done: Scored) -> "Counts":
        """The counts with those of a piece."""
        new = (len(done.scores), len(done.bad), done.repeated)
        return Counts(
            self.read + sum(new), *(old + more for old, more in zip(self[1:], new, strict=True))
        )


def score(order: Order, show: Callable[[Counts, int], None]) -> tuple[str, Counts]:
    """Score by the champion what is new in a source, once; the version and the counts. `show` gets the counts and the rows in all after each piece."""
    number, release = champion(order.task)
    counts = Counts()
    with connected(order.target) as target:
        for pieces in _sources(order, number, target):
            total = counts.read + pieces.rows
            for piece, done in _in_order(pieces, release, order.scheduler):
                _keep(target, order.table, release, piece, done)
                counts = counts.plus(done)
                show(counts, total)
    return number, counts


def _sources(order: Order, number: str, target: sa.Connection) -> Iterator[Pieces]:
    """What is left of each source: of each file, or of the query."""

    def before(source: str) -> Mark | None:
        found = mark_of(target, order.table, source)
        target.rollback()  # a reader in the way of no one
        return Mark(*found) if found else None

    if not is_database(order.source):
        for path in files_of(order.source):
            yield file_pieces(path, number, before(name_of(path)))
        return
    if not order.query:
        raise Refusal(
            f"The source {order.source} is a database: say which rows by --query 'SELECT …'."
        )
    name = query_name(order.source, order.query, order.watermark)
    with connected(order.source) as connection:
        yield query_pieces(connection, name, order.query, order.watermark, number, before(name))


def _in_order(pieces: Pieces, release: Release, scheduler: str) -> Iterator[tuple[Piece, Scored]]:
    """The pieces scored by workers, in their order; a few are under way at a time, so that memory holds."""
    if not pieces.rows:
        return
    count = cpu_count() or 1
    waiting: deque[tuple[Piece, Future[Scored]]] = deque()
    with _pool(pieces, scheduler, count) as pool:
        for piece in pieces.pieces:
            waiting.append(
                (
                    piece,
                    pool.submit(score_piece, str(place_of(release.digest)), release.digest, piece),
                )
            )
            if len(waiting) > 2 * count:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _pool(pieces: Pieces, scheduler: str, count: int) -> AbstractContextManager[Executor]:
    """Processes or Dask workers; a thread where there is one piece only, which no start of processes would pay for."""
    return workers(scheduler, count) if scheduler or pieces.rows > ROWS else ThreadPoolExecutor(1)


@lru_cache(2)
def _release(folder: str, digest: str) -> Release:
    return load_release(Path(folder), digest)


def score_piece(folder: str, digest: str, piece: Piece) -> Scored:
    """The rows of a piece, scored by a release; those that break its contract are put aside."""
    release, frame = _release(folder, digest), piece.read()
    unit = release.task().unit
    if unit == "row" and unit not in frame and piece.first is not None:
        frame.insert(0, unit, np.arange(piece.first, piece.first + len(frame)))
    for column in (unit, *release.contract):
        if column not in frame:
            raise Refusal(
                f"{piece.source} has no column {column!r}, which {release.task().name} needs: add it.{nearest(column, frame.columns)}"
            )
    good, bad = release.quarantined(as_promised(release.contract, frame))
    kept = good.drop_duplicates(unit, keep="last", ignore_index=True)
    return Scored(
        _scores(release, kept, piece.mark.version), _aside(bad, piece), len(good) - len(kept)
    )


def moments(column: pd.Series) -> pd.Series:
    """Texts as times, missing where one is none; where some tell an offset and others none or another, all in UTC."""
    try:
        return pd.to_datetime(column, errors="coerce", format="mixed")
    except ValueError:
        return pd.to_datetime(column, errors="coerce", format="mixed", utc=True).dt.tz_localize(
            None
        )


def as_promised(contract: dict[str, dict[str, Any]], frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with times and truths that a database or JSON keeps as text or numbers read as what the contract says, where all can be."""
    read: dict[str, pd.Series[Any]] = {}
    for name, rule in contract.items():
        column = frame[name]
        if rule["type"] == "time" and not pd.api.types.is_datetime64_any_dtype(column):
            times = moments(column)
            read |= {name: times} if times.notna().equals(column.notna()) else {}
        elif (
            rule["type"] == "boolean"
            and not pd.api.types.is_bool_dtype(column)
            and column.dropna().isin([0, 1]).all()
        ):
            read[name] = column.map(bool, na_action="ignore")
    return frame.assign(**read)


def _scores(release: Release, frame: pd.DataFrame, version: str) -> pd.DataFrame:
    """Unit, score(s), decision, version and time of each row."""
    names, unit = score_names(release), frame[release.task().unit]
    if frame.empty:
        return pd.DataFrame(columns=["unit", *names, "decision", "version", "time"])
    scores = np.asarray(release.score(frame))
    columns = dict(zip(names, np.atleast_2d(scores.T), strict=True))
    whole = pd.api.types.is_float_dtype(unit) and bool(
        (unit % 1 == 0).all()
    )  # decimals only because another row had none
    return pd.DataFrame(
        {
            "unit": unit.astype("int64") if whole else unit,
            **columns,
            "decision": release.decide(frame, scores),
        }
    ).assign(version=version, time=datetime.now(UTC))


def score_names(release: Release) -> list[str]:
    """`score`; for several classes `score_CLASS` for each."""
    classes = release.card["classes"]
    return [f"score_{name}" for name in classes] if len(classes) > 2 else ["score"]


def _aside(bad: pd.DataFrame, piece: Piece) -> pd.DataFrame:
    """Rows that break the contract as they are kept: the row as JSON, and a key by which it comes once however often it is read."""
    rows = (
        bad.drop(columns="reason")
        .to_json(orient="records", lines=True, date_format="iso", default_handler=str)
        .splitlines()
        if len(bad)
        else []
    )
    again = pd.Series(rows, dtype=str).groupby(np.array(rows, dtype=str)).cumcount()
    places = [
        f"{piece.source}|{piece.first}|{count}|{row}"
        for row, count in zip(rows, again, strict=True)
    ]
    ids = [hashlib.sha256(place.encode()).hexdigest() for place in places]
    return pd.DataFrame(
        {
            "id": ids,
            "source": piece.source,
            "row": rows,
            "reason": bad["reason"].to_numpy(),
            "time": datetime.now(UTC),
        }
    )


def _keep(target: sa.Connection, name: str, release: Release, piece: Piece, done: Scored) -> None:
    """Keep a piece and its mark in the tables, which are made where they are missing."""
    columns: dict[str, Any] = {
        **dict.fromkeys(score_names(release), sa.Double()),
        "decision": sa.Text() if release.card["classes"] else sa.Double(),
    }
    tables = tables_of(name, unit_type(done.scores["unit"]), columns)
    prepare(target, tables)
    keep(
        target,
        tables,
        done.scores,
        done.bad,
        {"source": piece.source, **piece.mark._asdict(), "time": datetime.now(UTC)},
    )


def seconds(text: str) -> float:
    """A time span such as 60s, 5min or 2h in seconds."""
    try:
        span = pd.Timedelta(text).total_seconds()
    except ValueError:
        span = 0
    if not span > 0:
        raise Refusal(f"--every is {text!r}: give a time such as 60s, 5min or 2h.")
    return float(span)
