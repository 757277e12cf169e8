"""Candidates judged in money on the same rows, and the ledger of what each step brought."""

import time
from typing import Any

import numpy as np
import pandas as pd

from ..decision.money import monthly
from ..decision.target import classes_of, codes, error_quantiles, metrics, outcome
from ..decision.value import decide_by_value, value
from ..task.definition import Task
from .fitting import out_of_fold


def halved(
    task: Task, splits: list[tuple[np.ndarray, np.ndarray]], seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    "The folds with half of the rows to fit on: the later ones in time order, else any."
    rng = np.random.default_rng(seed)
    return [
        (
            fit[len(fit) // 2 :]
            if task.split.by == "time"
            else np.sort(rng.permutation(fit)[: max(len(fit) // 2, 2)]),
            test,
        )
        for fit, test in splits
    ]


def ledger(
    task: Task, results: dict[str, dict[str, Any]], today: np.ndarray, measure: str, seed: int = 0
) -> pd.DataFrame:
    "A row for each step, in the order tried: metric, change against the best before, monthly gain with interval, and kept where the metric fell."
    table = comparison(task, results, today, seed).rename_axis("step")
    change = table[measure] - table[measure].cummin().shift()
    table.insert(0, "change", change)
    return table.assign(kept=np.where(change.isna() | (change < 0), "kept", "dropped"))


def result_of(
    task: Task, frame: pd.DataFrame, scores: np.ndarray, judged: np.ndarray
) -> dict[str, Any]:
    "Decisions, earnings and metrics of out-of-fold scores on the judged rows."
    truth, part = outcome(task, frame), frame.iloc[judged]
    classes = classes_of(task, truth)
    actions = decide_by_value(
        task, part, scores[judged], classes, error_quantiles(scores[judged], truth[judged], classes)
    )
    return {
        "scores": scores,
        "actions": actions,
        "earned": value(task, part, actions, truth[judged]),
        **metrics(task, scores[judged], truth[judged], classes),
    }


def judge(
    task: Task,
    frame: pd.DataFrame,
    table: pd.DataFrame,
    model: Any,
    splits: list[tuple[np.ndarray, np.ndarray]],
) -> dict[str, Any]:
    "Out-of-fold scores, decisions and earnings of a model on the rows that the folds score, with the seconds it took."
    began, truth = time.perf_counter(), outcome(task, frame)
    scores = out_of_fold(model, table, codes(truth, classes_of(task, truth)), splits)
    judged = np.sort(np.concatenate([test for _, test in splits]))
    return {
        "seconds": time.perf_counter() - began,
        "model": model,
        **result_of(task, frame, scores, judged),
    }


def comparison(
    task: Task, results: dict[str, dict[str, Any]], today: np.ndarray, seed: int = 0
) -> pd.DataFrame:
    "A row for each candidate: its metrics, seconds, and [lower, estimate, upper] of the gain in a month."
    rows = []
    for name, result in results.items():
        low, middle, high = monthly(task, result["earned"] - today, seed)
        known = {k: v for k, v in result.items() if isinstance(v, float)}
        rows.append(
            {"candidate": name, **known, "gain_lower": low, "gain": middle, "gain_upper": high}
        )
    return pd.DataFrame(rows).set_index("candidate")
