"""Where the evidence of an A/B test is read: a decisions database or a table from elsewhere."""

import time
from hashlib import sha256
from pathlib import Path

from ..errors import Refusal
from ..store.address import is_database
from ..store.files import provenance, root, track
from ..task.definition import ABTest
from .database_evidence import open_database
from .evidence import Evidence
from .table_evidence import open_table


def open_evidence(
    where: str,
    abtest: ABTest,
    *,
    experiment: str = "",
    mapping: str = "",
    share: float = 0.5,
    now: float | None = None,
) -> Evidence:
    """The evidence at a database URL or in a table (CSV, Parquet, JSON); Refusal where is none.

    `abtest` says what is read beside the worth; `experiment` names one in a database, `mapping` a
    table's columns and arms (theirs=ours,…); `share` is the release's, of a table's units. Counted
    is up to now, in seconds since 1970: if not given the present, or the last time in a table.
    """
    if not is_database(where):
        return open_table(where, experiment, mapping, share, abtest, now)
    if mapping:
        raise Refusal(
            f"`mapping` names the columns of a table, but {where} is a decisions database: "
            "leave it out."
        )
    return open_database(where, experiment, abtest, time.time() if now is None else now)


def track_evidence(where: str) -> str:
    """The address, once the run's record notes what is read there.

    A table is noted by its content, a database as never twice the same.
    """
    path = root() / Path(where).expanduser()
    if is_database(where):
        digest = sha256(where.encode()).hexdigest()[:12]
        provenance[f"evidence:{digest}"] = str(time.time())
    elif path.is_file():
        track(path)
    return where
