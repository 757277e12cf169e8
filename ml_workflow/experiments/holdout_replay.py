"""The holdout dealt to two arms, as live traffic would come: rows of a decisions database."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..decision.amounts import volume
from ..statistics.assignment import assign
from ..store.schema import decisions, exposures, outcomes
from ..task.definition import ABTest, Task
from .plan import CURRENT, DAY, RELEASE, Plan, weights_of

TABLES = (exposures, decisions, outcomes)


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
    weights = weights_of(plan.share)
    units = scores["unit"].astype(str)
    arms = assign(units, **salts, inclusion=1.0, weights=weights)
    by_release = (arms == RELEASE) & (not aa)
    actions = np.where(by_release, scores["release_decision"], scores["current_decision"])
    values = np.where(by_release, worth[RELEASE], worth[CURRENT])
    exposed = np.arange(len(scores)) * 30 * DAY / volume(task)
    known, identity = exposed + task.target.delay, [f"{name}-{unit}" for unit in units]
    rows = pd.DataFrame(
        {
            **dict.fromkeys(("id", "decision", "idempotency_key"), identity),
            **dict.fromkeys(("arm", "arm_assigned", "arm_served", "version"), arms),
            **dict.fromkeys(("event_time", "arrival_time"), known),
            "experiment": name,
            "unit": units,
            "phase": 1,
            "row": [{"expected worth": float(amount)} for amount in worth["expected"]],
            "score": None,
            "action": actions.astype(str),
            "propensity": 1.0,
            "fallback": False,
            "time": exposed,
            "value": values,
        }
    )
    bound, phase = plan.bound_to(salts, weights), {"weights": weights, "inclusion": 1.0}
    experiment = {"id": name, **salts, "phases": [phase], "plan": bound}
    tables = {table.name: rows[rows.columns.intersection(table.c.keys())] for table in TABLES}
    read = {"guardrails": {}, "segments": [], "covariate": "expected worth"}
    return Replay(
        {"experiments": pd.DataFrame([experiment]), **tables},
        float(known.max() + 3601),
        task.abtest.model_copy(update=read),
    )
