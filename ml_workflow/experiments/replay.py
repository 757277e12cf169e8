"""The holdout as an experiment: its rows as if each arm had decided them."""

import numpy as np
import pandas as pd

from ..decision.money import volume
from ..task.definition import Task
from .evidence import DAY
from .plan import known_after


def replay(
    task: Task, scores: pd.DataFrame, expected: np.ndarray, arms: np.ndarray, name: str, aa: bool
) -> dict[str, pd.DataFrame]:
    "Rows of exposures, decisions and outcomes for holdout units as if each arm's process had decided them, at the task's pace."
    new = (arms == "release") & (not aa)
    units, clock = scores["unit"].astype(str), np.arange(len(scores)) * 30 * DAY / volume(task)
    action, worth = (
        np.where(new, scores[f"release_{what}"], scores[f"current_{what}"])
        for what in ("decision", "value")
    )
    identity, known = [f"{name}-{unit}" for unit in units], clock + known_after(task)
    return {
        "exposures": pd.DataFrame(
            {
                "experiment": name,
                "unit": units,
                "arm_assigned": arms,
                "arm_served": arms,
                "phase": 1,
                "time": clock,
            }
        ),
        "decisions": pd.DataFrame(
            {
                "id": identity,
                "unit": units,
                "row": [{"expected worth": float(x)} for x in expected],
                "version": arms,
                "score": None,
                "experiment": name,
                "arm": arms,
                "action": action.astype(str),
                "propensity": 1.0,
                "fallback": False,
                "time": clock,
            }
        ),
        "outcomes": pd.DataFrame(
            {
                "decision": identity,
                "value": worth.astype(float),
                "event_time": known,
                "arrival_time": known,
                "idempotency_key": identity,
            }
        ),
    }
