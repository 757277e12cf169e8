"""How data breaks, and who notices: the contract, monitoring, or nobody."""

import numpy as np
import pandas as pd

from ..data.contract import faults, type_of
from ..data.corruptions import columns_of, matrix
from ..data.joins import inputs
from ..data.window import Window, alarms_of, window_of
from ..decision.target import codes, losses, outcome
from ..task.definition import Task
from .release import Release


def seen(task: Task, frame: pd.DataFrame, scores: np.ndarray | None, classes: list[str]) -> Window:
    "Rows as monitoring sees them: inputs, and where there are scores also these, loss, and outcome less score."
    if scores is None:
        return Window(inputs(task, frame))
    truth = outcome(task, frame)
    return window_of(
        inputs(task, frame), scores, codes(truth, classes), losses(task, scores, truth, classes)
    )


def corruption_matrix(
    task: Task,
    release: Release,
    usual: Window,
    strongest: list[str],
    rows: pd.DataFrame,
    past: pd.DataFrame,
    seed: int,
) -> pd.DataFrame:
    "For each way that data breaks: what the contract and monitoring say, the share of decisions that change, and the verdict."
    columns = columns_of(
        {c: type_of(usual.inputs[c]) for c in strongest if c in usual.inputs},
        task.unit,
        task.target.column,
        past,
    )
    checks = {
        "contract": lambda frame, _: {
            f"{f['column']} {f['rule']}": ""
            for f in faults(release.contract, frame, task.unit, task.private).to_dict("records")
        },
        "monitoring": lambda frame, scores: alarms_of(
            usual, seen(task, frame, scores, release.card["classes"]), strongest, len(rows)
        ),
    }
    return matrix(rows, columns, release.score, release.decide, checks, seed)
