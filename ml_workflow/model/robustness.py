"""How data breaks, and who notices: the contract, monitoring, or nobody."""

import numpy as np
import pandas as pd

from ..data.contract import type_of
from ..data.corruptions import columns_of, matrix
from ..data.joins import inputs
from ..data.window import Window, alarms_of, window_of
from ..decision.kinds import Kind
from .release import Release


def seen(kind: Kind, frame: pd.DataFrame, scores: np.ndarray | None) -> Window:
    """Rows as monitoring sees them: inputs, and where there are scores also these, losses, residuals."""
    table = inputs(kind.task, frame)
    if scores is None:
        return Window(table)
    outcomes = kind.outcomes(frame)
    return window_of(table, scores, kind.encode(outcomes), kind.losses(scores, outcomes))


def corruption_matrix(
    release: Release,
    usual: Window,
    strongest: list[str],
    rows: pd.DataFrame,
    past: pd.DataFrame,
    seed: int,
) -> pd.DataFrame:
    """For each way that data breaks: what contract and monitoring say, decisions changed, verdict.

    `usual` is what monitoring has seen, `strongest` the columns to break, the strongest first,
    `past` rows of before that may come again.
    """
    task = release.task
    types = {c: type_of(usual.inputs[c]) for c in strongest if c in usual.inputs}

    def contract(frame: pd.DataFrame, _: np.ndarray | None) -> dict[str, str]:
        faults = release.contract.faults(frame, task.unit, task.private)
        return dict.fromkeys(faults["column"] + " " + faults["rule"], "")

    def monitoring(frame: pd.DataFrame, scores: np.ndarray | None) -> dict[str, str]:
        return alarms_of(usual, seen(release.kind, frame, scores), strongest, len(rows))

    columns = columns_of(types, task.unit, task.target.column, past)
    checks = {"contract": contract, "monitoring": monitoring}
    return matrix(rows, columns, release.score, release.decide, checks, seed)
