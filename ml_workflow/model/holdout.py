"""The holdout: each opening of it is kept, and what every process decides on it."""

import hashlib
import json
import os
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from ..decision.kinds import Kind
from ..decision.process import Process
from ..store.run import reports


def on_holdout(kind: Kind, holdout: pd.DataFrame, processes: list[Process]) -> pd.DataFrame:
    """A row per example: unit, outcome, then score(s), decision and value of each process."""
    outcomes = kind.outcomes(holdout)
    columns = {"unit": holdout[kind.task.unit].to_numpy(), "outcome": outcomes}
    for process in processes:
        scores = process.score(holdout)
        actions = process.decide(holdout, scores)
        by_class = [f"score_{name}" for name in kind.classes]
        names = by_class if scores.ndim > 1 else ["score"]
        for name, column in zip(names, np.atleast_2d(scores.T), strict=True):
            columns[f"{process.name}_{name}"] = column
        columns[f"{process.name}_decision"] = actions
        columns[f"{process.name}_value"] = kind.value(holdout, actions, outcomes)
    return pd.DataFrame(columns)


def open_holdout(task: str, content: str, run: str) -> list[dict[str, str]]:
    """Record that `run` opens the holdout with this content hash; the earlier openings, in order.

    Each has its run and time. The record stands in var/ beside the reports, a line an opening.
    """
    key = hashlib.sha256(f"{task}\n{content}".encode()).hexdigest()[:24]
    path = reports().parent / "var" / "openings" / f"{key}.jsonl"
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
