"""The plan of an A/B test: units and days until the promised effect shows."""

from typing import Any

import numpy as np
import pandas as pd

from ..decision.money import volume
from ..decision.target import classes_of
from ..decision.value import payoffs
from ..errors import Refusal
from ..statistics.effects import effect_of
from ..statistics.health import units_for_tails
from ..statistics.power import Design, days_for, detectable_effect, size_for_mean
from ..statistics.sums import sums_of
from ..task.definition import Task
from .evidence import DAY


def expected_worth(task: Task, frame: pd.DataFrame, scores: pd.DataFrame) -> np.ndarray:
    "What the release expects its decision to be worth, per row: known before the decision, and the same in both arms."
    columns = [str(c) for c in scores if str(c).startswith("release_score")]
    own = scores[columns].to_numpy(float)
    if task.target.kind == "regression":
        return own[:, 0]
    chances = own if own.shape[1] > 1 else np.column_stack([1 - own, own])
    names = [c.removeprefix("release_score_") for c in columns if c != "release_score"]
    worth = payoffs(task, frame, names or classes_of(task, scores["outcome"].to_numpy()))[1]
    return np.einsum("rdc,rc->rd", worth, chances).max(axis=1)


def plan(
    task: Task, before: np.ndarray, after: np.ndarray, expected: np.ndarray, share: float
) -> dict[str, Any]:
    "Units and days to see the promised effect over the cost of running, with all that they follow from, as experiments keep it."
    cost = task.value.run_cost_per_month / volume(task)
    effect, deviation = (
        float(after.mean() - before.mean()) - cost,
        float(np.sqrt(before.var() * share + after.var() * (1 - share))),
    )
    sums = [sums_of(y, covariate=expected) for y in (before, after)]
    left = float(np.clip(effect_of(*sums).variance_ratio, 0.01, 1)) if deviation else 1.0
    settled = {
        "metric": metric_of(task),
        "looks": task.abtest.looks,
        "sides": task.abtest.sides,
        "share": share,
        "known_after_days": known_after(task) / DAY,
        "effect": effect,
        "deviation": deviation,
        "variance_left": left,
        "units": None,
        "days": None,
    }
    if effect == 0 or deviation == 0:
        return settled
    units = max(
        size_for_mean(effect, deviation, design_of(settled)).total,
        units_for_tails(before, after, share),
    )
    return {
        **settled,
        "units": units,
        "days": days_for(units, volume(task) / 30, delay=known_after(task) / DAY),
    }


def metric_of(task: Task) -> str:
    "What is measured, in words that change when the task's values do."
    worth = task.value.model_dump(
        include={"act", "leave", "matrix", "over", "under"}, exclude_none=True, mode="json"
    )
    return f"worth of a decision in {task.value.currency}: {worth}"


def known_after(task: Task) -> float:
    "Seconds until an outcome is known; 0 where the task says at once."
    text = task.target.known_after
    try:
        return 0.0 if text == "at once" else float(pd.Timedelta(text).total_seconds())
    except ValueError:
        raise Refusal(
            f"target.known_after is {text!r}: write a time such as `30 days` or `1 hour`, or `at once`."
        ) from None


def design_of(plan: dict[str, Any]) -> Design:
    "The design that a plan's units follow from."
    return Design(
        sides=plan["sides"],
        share=plan["share"],
        looks=plan["looks"],
        variance_left=plan["variance_left"],
    )


def options(
    task: Task,
    before: np.ndarray,
    after: np.ndarray,
    expected: np.ndarray,
    shares: tuple[float, ...] = (0.1, 0.25, 0.5),
) -> pd.DataFrame:
    "For each share of traffic in the new arm: units, days, and the smallest effect that a month of traffic shows."
    plans = [plan(task, before, after, expected, share) for share in shares]
    least = [detectable_effect(volume(task), p["deviation"], design_of(p)) for p in plans]
    return pd.DataFrame(
        {
            "new arm": shares,
            "units": [p["units"] for p in plans],
            "days": [p["days"] for p in plans],
            "smallest effect in a month": least,
        }
    ).set_index("new arm")
