"""The learning curve: what more examples bring."""

import time

import numpy as np
import pandas as pd

from ..data.joins import inputs
from ..data.split import sampled
from ..decision.process import current_process
from ..decision.target import codes, losses, outcome
from ..decision.value import decide_by_value, value
from ..research import baselines
from ..task.definition import Task
from .fitting import constant, folds_of, out_of_fold


def learning_curve(
    task: Task, frame: pd.DataFrame, classes: list[str], sizes: list[int], seed: int
) -> pd.DataFrame:
    "For each baseline and size: seconds, mean loss, and the gain over the current process per decision, row by row."
    rows = []
    for size in sizes:
        part = sampled(task, frame, size, seed)
        truth, table = outcome(task, part), inputs(task, part)
        folds = folds_of(task, part, truth, 3, seed)
        today = current_process(task, part)
        earned = value(task, part, today.decide(part, today.score(part)), truth)
        for name, model in {"constant": constant(classes), **baselines(classes, seed)}.items():
            began = time.perf_counter()
            scores = out_of_fold(model, table, codes(truth, classes), folds)
            seen = ~np.isnan(scores if scores.ndim == 1 else scores[:, 0])
            gain = (
                value(
                    task,
                    part[seen],
                    decide_by_value(task, part[seen], scores[seen], classes),
                    truth[seen],
                )
                - earned[seen]
            )
            loss = losses(task, scores[seen], truth[seen], classes)
            rows.append(
                {
                    "approach": name,
                    "examples": len(part),
                    "seconds": time.perf_counter() - began,
                    "loss": loss.mean(),
                    "gain": gain,
                    "losses": loss,
                }
            )
    return pd.DataFrame(rows)
