"""The learning curve: what more examples bring."""

import time
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..data.joins import inputs
from ..data.split import sampled
from ..decision.kinds import Kind
from ..decision.process import current_process
from .fitting import constant, folds_of, judged_rows, out_of_fold


def learning_curve(
    kind: Kind, frame: pd.DataFrame, baselines: Mapping[str, Any], sizes: list[int], seed: int
) -> pd.DataFrame:
    """A row for each baseline (and the constant guess) and size.

    Columns: approach, examples, seconds, loss (its mean), and of each row gain (over the current
    process, in the currency, by decision) and losses.
    """
    rows = []
    for size in sizes:
        part = sampled(kind.task, frame, size, seed)
        outcomes, table = kind.outcomes(part), inputs(kind.task, part)
        folds = folds_of(kind, part, 3, seed)
        judged = judged_rows(folds)
        seen, happened = part.iloc[judged], outcomes[judged]
        today = current_process(kind, part)
        earned = kind.value(part, today.decide(part, today.score(part)), outcomes)[judged]
        for name, model in {"constant": constant(kind), **baselines}.items():
            began = time.perf_counter()
            scores = out_of_fold(model, table, kind.encode(outcomes), folds)
            actions = kind.decide(seen, scores[judged])
            losses = kind.losses(scores[judged], happened)
            rows.append(
                {
                    "approach": name,
                    "examples": len(part),
                    "seconds": time.perf_counter() - began,
                    "loss": losses.mean(),
                    "gain": kind.value(seen, actions, happened) - earned,
                    "losses": losses,
                }
            )
    return pd.DataFrame(rows)
