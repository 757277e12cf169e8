"""What a release must do whatever the data: behaviour tests."""

import numpy as np
import pandas as pd

from ..data.joins import inputs
from ..decision.target import outcome
from ..task.definition import Task
from .release import Release


def invariance(task: Task, release: Release, rows: pd.DataFrame) -> dict[str, bool]:
    "Neither the order of rows nor their company nor, where it is no input, their key changes a score."
    scores, keys = release.score(rows), {task.unit: rows[task.unit].to_numpy()[::-1]}
    same = {
        "the order of rows does not matter": (release.score(rows.iloc[::-1])[::-1], scores),
        "a row alone scores as among others": (release.score(rows.head(1)), scores[:1]),
    }
    same |= (
        {}
        if task.unit in inputs(task, rows)
        else {"the unit does not matter": (release.score(rows.assign(**keys)), scores)}
    )
    return {name: np.allclose(*pair, rtol=1e-4, atol=1e-5) for name, pair in same.items()}


def functionality(task: Task, release: Release, rows: pd.DataFrame) -> dict[str, bool]:
    "Missing cells and the ends of the contract's ranges get scores that can be: chances, or numbers no further out than the outcomes' whole range."
    truth = outcome(task, rows)
    low, high = (
        (0.0, 1.0)
        if release.card["classes"]
        else (2 * truth.min() - truth.max(), 2 * truth.max() - truth.min())
    )
    ends = [
        rows.assign(**{c: rule[end]})
        for c, rule in release.contract.items()
        if "min" in rule and c in rows
        for end in ("min", "max")
    ][:20]
    gaps = [
        rows.assign(**{c: rows[c].mask(rows[c].notna())})
        for c, rule in list(release.contract.items())[:10]
        if c in rows
    ]
    return {
        "missing values score": all(np.isfinite(release.score(part)).all() for part in gaps),
        "extremes stay in range": all(
            ((s := release.score(part)) >= low - 1e-6).all() and (s <= high + 1e-6).all()
            for part in ends
        ),
    }
