"""How data breaks, and who notices: the contract, monitoring, or nobody."""

import pandas as pd

from ..data.columns import type_of
from ..data.corruptions import columns_of, matrix
from ..data.joins import inputs
from ..data.window import Window, alarms_of, window_of
from ..decision.kinds import Array, Kind
from .release import Release


def seen(kind: Kind, frame: pd.DataFrame, scores: Array | None) -> Window:
    """Rows as monitoring sees them: inputs, and with scores also these, losses and residuals."""
    table = inputs(kind.task, frame)
    if scores is None:
        return Window(table)
    outcomes = kind.outcomes(frame)
    return window_of(table, scores, kind.encode(outcomes), kind.losses(scores, outcomes))


def corruption_matrix(
    release: Release,
    strongest: list[str],
    rows: pd.DataFrame,
    past: pd.DataFrame,
    past_scores: Array,
    seed: int,
) -> pd.DataFrame:
    """For each way that data breaks: what contract and monitoring say, decisions changed, verdict.

    `strongest` are the columns to break, the strongest first; `past` are rows that monitoring has
    seen with their scores and that may come again.
    """
    reference = seen(release.kind, past, past_scores)
    task = release.task
    types = {c: type_of(reference.inputs[c]) for c in strongest if c in reference.inputs}

    def contract(frame: pd.DataFrame, _: Array | None) -> dict[str, str]:
        faults = release.contract.faults(frame, task.unit, task.private)
        return dict.fromkeys(faults["column"] + " " + faults["rule"], "")

    def monitoring(frame: pd.DataFrame, scores: Array | None) -> dict[str, str]:
        return alarms_of(reference, seen(release.kind, frame, scores), strongest, len(rows))

    columns = columns_of(types, task.unit, task.target.column, past)
    checks = {"contract": contract, "monitoring": monitoring}
    return matrix(rows, columns, release.score, release.decide, checks, seed)
