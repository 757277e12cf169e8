"""Candidates judged in money on the same rows, and the ledger of what each step brought."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..decision.amounts import monthly
from ..decision.kinds import Array, Kind
from ..decision.process import Process
from ..task.definition import Task
from .fitting import Folds, judged_rows, out_of_fold


@dataclass(frozen=True)
class Trial:
    """What out-of-fold scores decide and earn on the rows that the folds score.

    `scores` have a row for every example, NaN where no fold scores it; `actions` and `earned`, in
    the currency, only for the rows judged.
    """

    scores: Array
    actions: Array
    earned: Array
    metrics: dict[str, float]
    seconds: float = 0.0


def judge(kind: Kind, frame: pd.DataFrame, table: pd.DataFrame, model: Any, folds: Folds) -> Trial:
    """Out-of-fold scores, decisions and earnings of a model; `table` is what it sees of `frame`."""
    began = time.perf_counter()
    scores = out_of_fold(model, table, kind.encode(kind.outcomes(frame)), folds)
    seconds = time.perf_counter() - began
    return trial(kind, frame, scores, judged_rows(folds), seconds)


def trial(
    kind: Kind,
    frame: pd.DataFrame,
    scores: Array,
    judged: Array,
    seconds: float = 0.0,
    actions: Array | None = None,
) -> Trial:
    """Decisions (where none are given, the best), earnings and metrics on the judged rows."""
    part, known, outcomes = frame.iloc[judged], scores[judged], kind.outcomes(frame)[judged]
    if actions is None:
        actions = kind.decide(part, known, kind.residual_quantiles(known, outcomes))
    earned = kind.value(part, actions, outcomes)
    return Trial(scores, actions, earned, kind.metrics(known, outcomes), seconds)


def judge_process(kind: Kind, frame: pd.DataFrame, process: Process, judged: Array) -> Trial:
    """What a process decides and earns on the judged rows, by its own rule."""
    scores = process.score(frame)
    actions = process.decide(frame.iloc[judged], scores[judged])
    return trial(kind, frame, scores, judged, actions=actions)


def comparison(
    task: Task, trials: Mapping[str, Trial], today: Array, seed: int = 0
) -> pd.DataFrame:
    """A row for each candidate: metrics, seconds, and the gain in a month with its interval.

    `today` is what the current process earned on the judged rows, shape (n,), in the currency.
    """
    rows = {}
    for name, tried in trials.items():
        lower, estimate, upper = monthly(task, tried.earned - today, seed)
        gains = {"gain_lower": lower, "gain": estimate, "gain_upper": upper}
        rows[name] = {"seconds": tried.seconds, **tried.metrics, **gains}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("candidate")


def ledger(kind: Kind, trials: Mapping[str, Trial], today: Array, seed: int = 0) -> pd.DataFrame:
    """A row for each step in the order tried, as `comparison` has it.

    With the metric's change against the best before, and kept where it fell.
    """
    table = comparison(kind.task, trials, today, seed).rename_axis("step")
    change = table[kind.measure] - table[kind.measure].cummin().shift()
    table.insert(0, "change", change)
    return table.assign(kept=np.where(change.isna() | (change < 0), "kept", "dropped"))
