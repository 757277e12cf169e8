"""The return carries the uncertainty of effect and inputs through."""

import pytest

from ml_workflow.experiments.roi import return_on, worth_of_effect
from ml_workflow.statistics.checks import Interval
from ml_workflow.statistics.effects import effect_of
from ml_workflow.statistics.sums import sums_of
from ml_workflow.task.file import read_task, task_path

GAIN = Interval(173 - 98, 173, 173 + 98)
CREDIT = {
    "decisions_per_month": 30_000.0,
    "build_cost": 1_500_000.0,
    "run_cost_per_month": 60_000.0,
}


def roi_at(gain: float) -> float:
    """The plain formula."""
    return ((30_000 * gain - 60_000) * 12 - 1_500_000) / 1_500_000


def test_certain_inputs_give_the_plain_formula() -> None:
    result = return_on(173.0, **CREDIT)
    net = 30_000 * 173 - 60_000
    assert result.net_value_per_month == (net, net, net)
    assert result.roi.estimate == pytest.approx(roi_at(173))
    assert result.payback_months.estimate == pytest.approx(1_500_000 / net)
    assert result.chance_of_loss == 0


def test_an_uncertain_effect_alone_moves_the_bounds_exactly() -> None:
    assert return_on(GAIN, **CREDIT).roi == pytest.approx([roi_at(g) for g in GAIN], rel=1e-3)


def test_uncertain_inputs_widen_the_interval() -> None:
    narrow = return_on(GAIN, **CREDIT).roi
    wide = return_on(GAIN, **CREDIT | {"build_cost": Interval(5e5, 1.5e6, 2.5e6)}).roi
    assert wide.upper - wide.lower > 1.2 * (narrow.upper - narrow.lower)


def test_the_worth_of_an_effect_has_a_return_where_costs_are_stated() -> None:
    task = read_task(task_path("penguins"))
    effect = effect_of(sums_of([0.0, 1.0, 2.0]), sums_of([0.0, 1.0, 2.0]))
    figures = worth_of_effect(task, effect)
    assert figures["net_value_per_month"][1] == -100 and figures["payback_months"] is None
    assert figures["roi"][1] < 0 < figures["chance_of_loss"]
    free = task.model_copy(update={"value": task.value.model_copy(update={"build_cost": 0.0})})
    assert list(worth_of_effect(free, effect)) == ["net_value_per_month"]


@pytest.mark.parametrize("effect", [Interval(2, 1, 3), float("nan")])
def test_what_is_no_interval_gets_a_sentence(effect: Interval | float) -> None:
    with pytest.raises(ValueError, match=r"effect is .* lower <= estimate <= upper"):
        return_on(effect, **CREDIT)
