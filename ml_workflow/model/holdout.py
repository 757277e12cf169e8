"""The holdout: each opening of it is kept, and what every process decides on it."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ..decision.process import Process
from ..decision.target import outcome
from ..decision.value import value
from ..store.run import reports
from ..task.definition import Task


def on_holdout(
    task: Task, holdout: pd.DataFrame, processes: list[Process], classes: list[str]
) -> pd.DataFrame:
    "One row per holdout example: unit, outcome, then score(s), decision and value of each process."
    truth = outcome(task, holdout)
    columns: dict[str, Any] = {"unit": holdout[task.unit].to_numpy(), "outcome": truth}
    for process in processes:
        scores = process.score(holdout)
        actions = process.decide(holdout, scores)
        named = (
            {"score": scores}
            if scores.ndim == 1
            else {f"score_{c}": scores[:, i] for i, c in enumerate(classes)}
        )
        worth = value(task, holdout, actions, truth)
        columns |= {
            f"{process.name}_{k}": v
            for k, v in {**named, "decision": actions, "value": worth}.items()
        }
    return pd.DataFrame(columns)


def open_holdout(task: str, content: str, run: str) -> list[dict[str, str]]:
    """Record that `run` opens the holdout with this content hash; the earlier openings, each with its run and time, the first first.

    The record stands in var/ beside the reports, a line an opening.
    """
    path = _place(task, content)
    before = (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if path.exists()
        else []
    )
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
