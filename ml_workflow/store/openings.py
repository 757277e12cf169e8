"""When a holdout was opened: each look at it is kept, since every choice made after a look makes the next one too good."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from .run import reports


def open_holdout(task: str, content: str, run: str) -> list[dict[str, str]]:
    """Record that `run` opens the holdout with this content hash; the earlier openings, each with its run and time, the first first.

    The record stands in var/ beside the reports, a line an opening.
    """
    path = _place(task, content)
    before = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    line = json.dumps({"run": run, "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:  # one short line: whole or not at all
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return before


def _place(task: str, content: str) -> Path:
    key = hashlib.sha256(f"{task}\n{content}".encode()).hexdigest()[:24]
    return reports().parent / "var" / "openings" / f"{key}.jsonl"
