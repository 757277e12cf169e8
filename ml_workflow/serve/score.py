"""Batch scoring into a database, by pieces: a kill neither loses nor doubles a row."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import lru_cache, partial
from os import cpu_count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from ..data.parts import ROWS
from ..data.steps import workers
from ..data.tables import files_of
from ..errors import Refusal, nearest
from ..model.registry import champion, place_of
from ..model.release import Release, load_release
from ..store.address import connection_to, is_database
from ..store.files import name_of
from ..store.scores import Type, mark_of, prepare, tables_of, unit_type, write_scores
from .source import Order, Piece, Pieces, file_pieces, query_name, query_pieces


class Counts(NamedTuple):
    """Rows read, of these scored, put aside, and followed by another of the same unit."""

    read: int = 0
    scored: int = 0
    aside: int = 0
    repeated: int = 0


class Scored(NamedTuple):
    """A piece as it is kept: scores by unit, and rows put aside with the reason."""

    scores: pd.DataFrame
    bad: pd.DataFrame
    counts: Counts


def score(order: Order, show: Callable[[Counts, int], None]) -> tuple[str, Counts]:
    """Score by the champion what is new in a source, once; the version and the counts.

    `show` gets the counts and the rows in all after each piece.
    """
    version, release = champion(order.task)
    counts = Counts()
    with connection_to(order.target) as target:
        for pieces in _sources(order, version, target):
            total = counts.read + pieces.rows
            for piece, scored in _in_order(pieces, release, order.scheduler):
                _keep(target, order.table, release, piece, scored)
                counts = Counts(*map(sum, zip(counts, scored.counts, strict=True)))
                show(counts, total)
    return version, counts


def _sources(order: Order, version: str, target: sa.Connection) -> Iterator[Pieces]:
    """What is left of each source: of each file, or of the query."""
    before = partial(mark_of, target, order.table)
    if not is_database(order.source):
        for path in files_of(order.source):
            yield file_pieces(path, version, before(name_of(path)))
        return
    with connection_to(order.source) as connection:
        yield query_pieces(connection, order, version, before(query_name(order)))


def _in_order(pieces: Pieces, release: Release, scheduler: str) -> Iterator[tuple[Piece, Scored]]:
    """The pieces scored by workers, in order; few are under way at a time, so that memory holds."""
    if not pieces.rows:
        return
    folder, count = str(place_of(release.digest)), cpu_count() or 1
    waiting: deque[tuple[Piece, Future[Scored]]] = deque()
    start: AbstractContextManager[Executor] = ThreadPoolExecutor(1)  # one piece pays for no more
    if scheduler or pieces.rows > ROWS:
        start = workers(scheduler, count)
    with start as pool:
        for piece in pieces.pieces:
            waiting.append((piece, pool.submit(score_piece, folder, release.digest, piece)))
            if len(waiting) > 2 * count:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


@lru_cache(2)
def _release(folder: str, digest: str) -> Release:
    return load_release(Path(folder), digest)


def score_piece(folder: str, digest: str, piece: Piece) -> Scored:
    """The rows of a piece, scored by a release; those that break its contract are put aside."""
    release, frame = _release(folder, digest), piece.read()
    unit = release.task.unit
    if unit == "row" and unit not in frame and piece.first is not None:
        frame.insert(0, unit, np.arange(piece.first, piece.first + len(frame)))
    for column in (unit, *release.contract):
        if column not in frame:
            raise Refusal(
                f"{piece.source} has no column {column!r}, which {release.task.name} needs: "
                f"add it.{nearest(column, frame.columns)}"
            )
    good, bad = release.quarantine(release.contract.typed(frame))
    last = good.drop_duplicates(unit, keep="last", ignore_index=True)
    counts = Counts(len(frame), len(last), len(bad), len(good) - len(last))
    return Scored(_scores(release, last, piece.mark.version), _aside(bad, piece), counts)


def _scores(release: Release, frame: pd.DataFrame, version: str) -> pd.DataFrame:
    """Unit, score(s), decision, version and time of each row."""
    names, unit = release.kind.score_names, frame[release.task.unit]
    if frame.empty:
        return pd.DataFrame(columns=["unit", *names, "decision", "version", "time"])
    if pd.api.types.is_float_dtype(unit) and (unit % 1 == 0).all():
        unit = unit.astype("int64")  # decimals only because another row had none
    scores = np.asarray(release.score(frame))
    table = pd.DataFrame(scores, frame.index, names).assign(unit=unit, version=version)
    return table.assign(decision=release.decide(frame, scores), time=datetime.now(UTC))


def _aside(bad: pd.DataFrame, piece: Piece) -> pd.DataFrame:
    """Rows that break the contract as they are kept.

    Each is a line of JSON with a key by which it comes once, however often it is read.
    """
    text = bad.drop(columns="reason").to_json(
        orient="records", lines=True, date_format="iso", default_handler=str
    )
    rows = pd.Series(text.splitlines() if len(bad) else [], dtype=object)
    place = f"{piece.source}|{piece.first}"
    again = rows.groupby(rows).cumcount()
    keys = [f"{place}|{count}|{row}" for count, row in zip(again, rows, strict=True)]
    return pd.DataFrame(
        {
            "id": [hashlib.sha256(key.encode()).hexdigest() for key in keys],
            "source": piece.source,
            "row": rows,
            "reason": bad["reason"],
            "time": datetime.now(UTC),
        }
    )


def _keep(target: sa.Connection, name: str, release: Release, piece: Piece, scored: Scored) -> None:
    """Keep a piece and its mark in the tables, which are made where they are missing."""
    kind = release.kind
    columns: dict[str, Type] = dict.fromkeys(kind.score_names, sa.Double())
    columns["decision"] = kind.choose(sa.Text(), sa.Double())
    tables = tables_of(name, unit_type(scored.scores["unit"]), columns)
    prepare(target, tables)
    write_scores(target, tables, scored.scores, scored.bad, piece.source, piece.mark)


def seconds(text: str) -> float:
    """A time span such as 60s, 5min or 2h in seconds; raises Refusal where it is none."""
    try:
        span = pd.Timedelta(text).total_seconds()
    except ValueError:
        span = 0
    if not span > 0:
        raise Refusal(f"--every is {text!r}: give a time such as 60s, 5min or 2h.")
    return float(span)
