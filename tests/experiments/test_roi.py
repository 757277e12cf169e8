"""The return carries the uncertainty of effect and inputs through."""

import pytest

from ml_workflow.errors import Refusal
from ml_workflow.experiments.roi import return_on, worth_of_effect
from ml_workflow.statistics.checks import Interval
from ml_workflow.statistics.effects import effect_of
from ml_workflow.statistics.sums import sums_of
from ml_workflow.task.definition import Task

BUILD = 1_500_000.0
INPUTS = {"decisions_per_month": 30_000.0, "build_cost": BUILD, "run_cost_per_month": 60_000.0}


def test_bounds_are_the_plain_formula_where_the_effect_alone_is_uncertain_else_wider() -> None:
    gain = Interval(75, 173, 271)
    inputs = {name: Interval(value, value, value) for name, value in INPUTS.items()}
    result = return_on(gain, inputs, 12)
    nets = [30_000 * amount - 60_000 for amount in gain]
    assert result.net_value_per_month == pytest.approx(nets, rel=1e-3)
    assert result.roi == pytest.approx([net * 12 / BUILD - 1 for net in nets], rel=1e-3)
    assert result.payback_months == pytest.approx([BUILD / net for net in nets[::-1]], rel=1e-3)
    assert result.chance_of_loss < 0.01
    wide = return_on(gain, inputs | {"build_cost": Interval(5e5, BUILD, 2.5e6)}, 12).roi
    assert wide.upper - wide.lower > 1.2 * (result.roi.upper - result.roi.lower)


def test_the_worth_of_an_effect_has_a_return_where_costs_are_stated(task: Task) -> None:
    effect = effect_of(sums_of([0.0, 1.0, 2.0]), sums_of([0.0, 1.0, 2.0]))
    figures = worth_of_effect(task, effect)
    assert figures["net_value_per_month"][1] == -100 and figures["payback_months"] is None
    assert figures["roi"][1] < 0 < figures["chance_of_loss"]
    free = task.model_copy(update={"value": task.value.model_copy(update={"build_cost": 0.0})})
    assert list(worth_of_effect(free, effect)) == ["net_value_per_month"]
    uncertain = {"uncertain": {"build_cost": (1.0, 2.0)}}
    wrong = task.model_copy(update={"abtest": task.abtest.model_copy(update=uncertain)})
    with pytest.raises(Refusal, match=r"abtest.uncertain.build_cost is from 1 to 2"):
        worth_of_effect(wrong, effect)
