"""What an effect is worth a month, and how long it takes to be sure."""

from typing import Any

import numpy as np

from ..decision.money import volume
from ..statistics.checks import Interval
from ..statistics.effects import Effect
from ..statistics.power import Design, size_for_mean
from ..task.definition import Task
from .evidence import Evidence
from .looks import Look
from .roi import return_on


def worth(task: Task, effect: Effect) -> dict[str, Any]:
    "Net value a month and, where the task states costs, ROI and payback as [lower, estimate, upper], and the chance of loss."
    stated = {
        "decisions_per_month": float(volume(task)),
        "build_cost": task.value.build_cost or 1.0,
        "run_cost_per_month": task.value.run_cost_per_month,
    }
    known: dict[str, Any] = {
        k: Interval(task.abtest.uncertain[k][0], v, task.abtest.uncertain[k][1])
        if k in task.abtest.uncertain
        else v
        for k, v in stated.items()
    }  # type: ignore[index]
    found = return_on(effect.interval, **known, horizon_months=task.success.horizon_months)
    half = 1.96 * effect.standard_error
    today = return_on(
        Interval(effect.difference - half, effect.difference, effect.difference + half),
        **known,
        horizon_months=task.success.horizon_months,
    )
    if not (task.has_values and task.value.build_cost and task.value.decisions_per_month):
        return {"net_value_per_month": list(found.net_value_per_month)}
    payback = [months if np.isfinite(months) else None for months in found.payback_months]
    return {
        "net_value_per_month": list(found.net_value_per_month),
        "roi": list(found.roi),
        "payback_months": payback[1],
        "payback_bounds": payback,
        "chance_of_loss": today.chance_of_loss,
    }


def days_left(task: Task, proof: Evidence, last: Look) -> int | None:
    "Days of traffic until an effect as large as today's would show; None where it does not exceed the cost of running."
    share, effect = proof.phases[-1]["weights"]["release"], last.effect
    gain = effect.difference - task.value.run_cost_per_month / volume(task)
    if gain <= 0:
        return None
    deviation = effect.standard_error * float(np.sqrt(effect.units * share * (1 - share)))
    needed = size_for_mean(
        gain, deviation, Design(share=share, sides=task.abtest.sides, looks=task.abtest.looks)
    ).total
    return max(
        1,
        int(
            np.ceil(
                (max(needed, proof.plan.get("units") or 0) - effect.units) / (volume(task) / 30)
            )
        ),
    )
