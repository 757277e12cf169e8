"""Net value decides whether a process is worth building, with the return where costs are stated."""

import numpy as np
import pytest

from ml_workflow.decision.returns import net_value
from tests.decision.tasks import task_of

COSTS = {
    "act": {"positive": 1, "negative": 0},
    "leave": {"positive": 0, "negative": 1},
    "decisions_per_month": 1000,
    "build_cost": 6000,
    "run_cost_per_month": 500,
}
GAINS = np.full(50, 2.0)


def test_net_value_and_return_are_counted_from_gains_and_costs() -> None:
    net = net_value(task_of("binary", value=COSTS), GAINS)
    assert net.per_month == pytest.approx([1500] * 3) and net.is_enough
    assert net.roi == pytest.approx([(1500 * 12 - 6000) / 6000] * 3)
    assert net.figures == {
        "net_value_per_month": net.per_month,
        "roi": net.roi,
        "payback_months": pytest.approx(4),
    }


@pytest.mark.parametrize(
    ("task", "gains", "is_enough"),
    [
        ({"value": COSTS, "success": {"min_roi": 3}}, GAINS, False),
        ({"value": COSTS}, GAINS * 0.2, False),
        ({}, GAINS, True),
        ({}, np.tile([3.0, -3.0], 25), False),
    ],
)
def test_what_is_not_surely_gained_or_returns_too_little_is_not_enough(
    task: dict[str, dict[str, float]], gains: np.ndarray, is_enough: bool
) -> None:
    net = net_value(task_of("binary", **task), gains)
    assert net.is_enough is is_enough
    assert ("ROI is not stated" in net.sentence) == (net.roi is None) == ("value" not in task)
