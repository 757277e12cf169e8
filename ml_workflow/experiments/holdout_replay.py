"""The holdout dealt to two arms, as live traffic would come: rows of a decisions database."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..decision.amounts import volume
from ..statistics.assignment import assign
from ..task.definition import ABTest, Task
from .plan import CURRENT, DAY, RELEASE, Plan


class Replay(NamedTuple):
    """Rows of a decisions database, by table, as if each arm's process had decided its units."""

    tables: Mapping[str, pd.DataFrame]  # experiments, exposures, decisions and outcomes
    end: float  # seconds since 1970 when every outcome is in
    abtest: ABTest  # what can be read of it: no guardrails and segments, but the covariate


def deal_holdout(
    task: Task,
    scores: pd.DataFrame,
    worth: pd.DataFrame,
    plan: Plan,
    *,
    seed: int = 0,
    aa: bool = False,
) -> Replay:
    """The holdout as an experiment with this plan, at the pace of the task's traffic.

    `scores` is scores.parquet, `worth` that of `worth_on_holdout`, whose expectation is the
    covariate. In an A/A test both arms are decided by the current process.
    """
    name = f"{task.name}-replay-{seed}"
    salts = {"inclusion_salt": f"{name}-in", "arm_salt": f"{name}-arm"}
    weights = {CURRENT: 1 - plan.share, RELEASE: plan.share}
    units = scores["unit"].astype(str)
    arms = assign(units, **salts, inclusion=1.0, weights=weights)
    decided_by_release = (arms == RELEASE) & (not aa)
    actions = np.where(decided_by_release, scores["release_decision"], scores["current_decision"])
    values = np.where(decided_by_release, worth[RELEASE], worth[CURRENT])
    exposed = np.arange(len(scores)) * 30 * DAY / volume(task)
    known, identity = exposed + task.target.delay, [f"{name}-{unit}" for unit in units]
    experiment = {
        "id": name,
        **salts,
        "phases": [{"weights": weights, "inclusion": 1.0}],
        "plan": plan.bound_to(salts, weights),
    }
    exposures = {
        "experiment": name,
        "unit": units,
        "arm_assigned": arms,
        "arm_served": arms,
        "phase": 1,
        "time": exposed,
    }
    decisions = {
        "id": identity,
        "unit": units,
        "row": [{"expected worth": float(amount)} for amount in worth["expected"]],
        "version": arms,
        "score": None,
        "experiment": name,
        "arm": arms,
        "action": actions.astype(str),
        "propensity": 1.0,
        "fallback": False,
        "time": exposed,
    }
    outcomes = {
        "decision": identity,
        "value": values,
        "event_time": known,
        "arrival_time": known,
        "idempotency_key": identity,
    }
    tables = {
        "experiments": pd.DataFrame([experiment]),
        "exposures": pd.DataFrame(exposures),
        "decisions": pd.DataFrame(decisions),
        "outcomes": pd.DataFrame(outcomes),
    }
    read = {"guardrails": {}, "segments": [], "covariate": "expected worth"}
    return Replay(tables, float(known.max() + 3601), task.abtest.model_copy(update=read))
