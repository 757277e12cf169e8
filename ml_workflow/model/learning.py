"""The learning curve: what more examples bring."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..data.joins import inputs
from ..data.split import sampled
from ..decision.kinds import Kind
from ..decision.process import current_process
from .fitting import constant, folds_of, out_of_fold


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
        today = current_process(kind, part)
        earned = kind.value(part, today.decide(part, today.score(part)), outcomes)
        for name, model in {"constant": constant(kind), **baselines}.items():
            began = time.perf_counter()
            scores = out_of_fold(model, table, kind.encode(outcomes), folds)
            seen = ~np.isnan(scores if scores.ndim == 1 else scores[:, 0])
            actions = kind.decide(part[seen], scores[seen])
            losses = kind.losses(scores[seen], outcomes[seen])
            rows.append(
                {
                    "approach": name,
                    "examples": len(part),
                    "seconds": time.perf_counter() - began,
                    "loss": losses.mean(),
                    "gain": kind.value(part[seen], actions, outcomes[seen]) - earned[seen],
                    "losses": losses,
                }
            )
    return pd.DataFrame(rows)
