"""Net value and the return on the cost of building."""

from typing import Any

import numpy as np

from ..task.definition import Task
from .amounts import money, monthly, period


def return_on_cost(task: Task, net: list[float]) -> dict[str, Any]:
    "ROI over the horizon as [lower, estimate, upper] and payback in months; empty when the task states no values or costs."
    if not (task.has_values and task.value.build_cost and task.value.decisions_per_month):
        return {}
    cost = task.value.build_cost
    roi = [(n * task.success.horizon_months - cost) / cost for n in net]
    return {"roi": roi, "payback_months": cost / net[1] if net[1] > 0 else None}


def net_of(task: Task, gains: np.ndarray, seed: int = 0) -> list[float]:
    "[lower, estimate, upper] of the gain in a month, less the cost of running."
    return [bound - task.value.run_cost_per_month for bound in monthly(task, gains, seed)]


def good_enough(task: Task, net: list[float]) -> tuple[bool, str]:
    "Whether the lower end of net value is above zero and the expected ROI reaches the task's, and the sentence why."
    back = return_on_cost(task, net)
    said = f"net value {period(task)} is {' … '.join(money(task, n) for n in net)}"
    said += (
        f", ROI {back['roi'][1]:.1f} in {task.success.horizon_months} months"
        if back
        else ", ROI is not stated"
    )
    reached = net[0] > 0 and (not back or back["roi"][1] >= task.success.min_roi)
    return reached, said
