"""What runs take on the disk, and which of them may go."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from ..report import pages
from ..store.run import reports


class Listed(NamedTuple):
    """A run as `ml-workflow runs` lists it."""

    run: str
    task: str
    outcome: str
    net_value: str
    """Of a month, with its currency."""
    size: int
    """Bytes that no newer run has: files that runs share by hard link count for the newest of them."""
    age: timedelta


def listed() -> list[Listed]:
    """All runs, newest first; the sum of their sizes is what the disk holds."""
    seen: set[tuple[int, int]] = set()
    return [_listed(record, seen) for record in pages.records()]


def _listed(record: dict[str, Any], seen: set[tuple[int, int]]) -> Listed:
    shown = pages.summary(record, {})
    figure = shown["figures"].get("net_value_per_month")
    worth = f"{shown['currency']} {figure[1]:,.0f}".strip() if isinstance(figure, list) else ""
    age = datetime.now(UTC) - datetime.strptime(shown["started"], "%Y-%m-%d %H:%M:%S").replace(
        tzinfo=UTC
    )
    return Listed(
        record["run"],
        record["task"],
        shown["outcome"],
        worth,
        size(reports() / record["run"], seen),
        age,
    )


def size(folder: Path, seen: set[tuple[int, int]]) -> int:
    """Bytes on the disk of a folder's files, but for those in `seen`, to which they are added."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(place, name))
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
    return total


def old(runs: list[Listed], newest: int, younger: timedelta) -> list[Listed]:
    """The runs that may go: neither among the newest, nor younger than that, nor what reports/latest names.

    What another run reuses of them stays, because hard links share the file itself.
    """
    latest = (reports() / "latest").resolve().name
    return [run for run in runs[newest:] if run.age >= younger and run.run != latest]


def remove(runs: list[Listed]) -> None:
    """Delete these runs, and take them off the index."""
    for run in runs:
        (reports() / run.run / "run.json").unlink(missing_ok=True)  # first: half a run is none
        shutil.rmtree(reports() / run.run)
    pages.write_index()
