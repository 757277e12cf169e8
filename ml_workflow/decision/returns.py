"""Net value and the return on the cost of building."""

from typing import NamedTuple

import numpy as np

from ..task.definition import Task
from .amounts import money, monthly, period


class NetValue(NamedTuple):
    """What gains bring, in the task's currency; intervals of 95 % are [lower, estimate, upper]."""

    per_month: list[float]
    """The gain in a month, less the cost of running."""
    roi: list[float] | None
    """The return on the cost of building over the task's horizon; None where it is not stated."""
    payback_months: float | None
    """The cost of building over net value; None where it is not stated, or not above zero."""
    is_enough: bool
    """Whether net value is surely above zero and the expected return reaches the task's."""
    sentence: str
    """Both figures in words."""

    @property
    def figures(self) -> dict[str, list[float] | float | None]:
        """The figures by their names in run.json; those of the return where it is stated."""
        stated = {"roi": self.roi, "payback_months": self.payback_months} if self.roi else {}
        return {"net_value_per_month": self.per_month, **stated}


def net_value(task: Task, gains: np.ndarray, seed: int = 0) -> NetValue:
    """The net value of gains a decision, shape (n,) in the currency, by bootstrap."""
    value, months = task.value, task.success.horizon_months
    net = [bound - value.run_cost_per_month for bound in monthly(task, gains, seed)]
    sentence = f"net value {period(task)} is {' … '.join(money(task, bound) for bound in net)}"
    if not (task.has_values and value.build_cost and value.decisions_per_month):
        return NetValue(net, None, None, net[0] > 0, f"{sentence}, ROI is not stated")
    roi = [(bound * months - value.build_cost) / value.build_cost for bound in net]
    payback = value.build_cost / net[1] if net[1] > 0 else None
    is_enough = net[0] > 0 and roi[1] >= task.success.min_roi
    return NetValue(
        net, roi, payback, is_enough, f"{sentence}, ROI {roi[1]:.1f} in {months} months"
    )
