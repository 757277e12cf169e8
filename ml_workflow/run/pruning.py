"""What runs take on the disk, and which of them may go."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from ..report.index import write_index
from ..report.records import Record, records
from ..store.run import reports


class KeptRun(NamedTuple):
    """A run as `ml-workflow runs` lists it."""

    record: Record
    size: int
    """Bytes that no newer run has: files that runs share by hard link count for the newest."""

    @property
    def age(self) -> timedelta:
        """The time since it began."""
        return datetime.now(UTC) - self.record.started.replace(tzinfo=UTC)

    @property
    def net_value(self) -> str:
        """Of a month, with its currency, where its last verdict states it; else nothing."""
        figure = self.record.net_figures.get("net_value_per_month", [])
        return f"{self.record.currency} {figure[1]:,.0f}".strip() if len(figure) == 3 else ""


def kept_runs() -> list[KeptRun]:
    """All runs, newest first; the sum of their sizes is what the disk holds."""
    seen: set[tuple[int, int]] = set()
    return [KeptRun(record, size(record.folder, seen)) for record in records()]


def size(folder: Path, seen: set[tuple[int, int]]) -> int:
    """Bytes on the disk of a folder's files, but for those in `seen`, to which they are added."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(place, name))
            inode = status.st_dev, status.st_ino
            if inode not in seen:
                seen.add(inode)
                total += status.st_blocks * 512
    return total


def removable(runs: list[KeptRun], newest: int, younger: timedelta) -> list[KeptRun]:
    """The runs that may go: neither among the newest, nor younger, nor what reports/latest names.

    What another run reuses of them stays, because hard links share the file itself.
    """
    latest = (reports() / "latest").resolve()
    return [run for run in runs[newest:] if run.age >= younger and run.record.folder != latest]


def remove(runs: list[KeptRun]) -> None:
    """Delete these runs, and take them off the index."""
    for run in runs:
        (run.record.folder / "run.json").unlink(missing_ok=True)  # first: half a run is none
        shutil.rmtree(run.record.folder)
    write_index()
