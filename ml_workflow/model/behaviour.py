"""What a release must do whatever the data: behaviour tests."""

import numpy as np
import pandas as pd

from ..data.joins import inputs
from .release import Release


def invariance(release: Release, rows: pd.DataFrame) -> dict[str, bool]:
    """Neither the order of rows nor their company nor, unless it is an input, their key counts."""
    scores, unit = release.score(rows), release.task.unit
    same = {
        "the order of rows does not matter": (release.score(rows.iloc[::-1])[::-1], scores),
        "a row alone scores as among others": (release.score(rows.head(1)), scores[:1]),
    }
    if unit not in inputs(release.task, rows):
        other = rows.assign(**{unit: rows[unit].to_numpy()[::-1]})
        same["the unit does not matter"] = (release.score(other), scores)
    return {name: np.allclose(*pair, rtol=1e-4, atol=1e-5) for name, pair in same.items()}


def functionality(release: Release, rows: pd.DataFrame) -> dict[str, bool]:
    """Missing cells and the ends of the contract's ranges get scores that can be.

    These are probabilities, or numbers no further out than the outcomes' whole range.
    """
    outcomes = release.kind.encode(release.kind.outcomes(rows))
    low, high = outcomes.min(), outcomes.max()
    least, most = release.kind.choose((0.0, 1.0), (2 * low - high, 2 * high - low))
    known = {name: c for name, c in release.contract.items() if name in rows}
    ranged = [(name, end) for name, c in known.items() if c.min is not None for end in c.bounds]
    gaps = [rows.assign(**{name: rows[name].mask(rows[name].notna())}) for name in known][:10]
    extremes = [release.score(rows.assign(**{name: end})) for name, end in ranged[:20]]
    return {
        "missing values score": all(np.isfinite(release.score(part)).all() for part in gaps),
        "extremes stay in range": all(
            bool(((scores >= least - 1e-6) & (scores <= most + 1e-6)).all()) for scores in extremes
        ),
    }
