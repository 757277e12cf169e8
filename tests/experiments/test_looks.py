"""Looks follow the plan, phases are compared each in itself."""

from dataclasses import replace

import numpy as np
import pytest

from ml_workflow.experiments.health import Check
from ml_workflow.experiments.looks import days_left, effect_within_phases, looks_by_day
from ml_workflow.experiments.plan import DAY, Plan
from ml_workflow.experiments.tally import Tally, count_evidence
from ml_workflow.task.definition import Task
from tests.experiments.conftest import Store
from tests.experiments.traffic import START, traffic


def regimes(tally: Tally, planned: int | None) -> set[str]:
    """The regimes of the looks, with another plan."""
    evidence = replace(tally.evidence, plan=Plan(units=planned))
    looks = looks_by_day(replace(tally, evidence=evidence), expected=4_000)
    return {look.bound.regime for look in looks}


def test_the_bounds_of_looks_hold_and_follow_the_plan(store: Store) -> None:
    tally = count_evidence(store(traffic(effect=4.0)), 7 * DAY)
    assert regimes(tally, 4_000) == {"planned"} and regimes(tally, None) == {"unplanned"}
    assert regimes(tally, 500) == {"planned", "overrun"}
    looks = looks_by_day(tally, expected=4_000)
    units = [look.effect.units for look in looks]
    assert units == sorted(set(units))
    last = looks[-1].effect
    assert last.lower < 4 < last.upper and last.variance_ratio == pytest.approx(0.5, abs=0.1)
    failed = looks_by_day(tally, 4_000, [Check("covariate", False, "")])[-1].effect
    assert failed.variance_ratio == 1


def test_phases_are_compared_each_in_itself(store: Store) -> None:
    frame = traffic(4_000)
    is_late, is_release = frame["exposed"] > START + 5 * DAY, frame["arm"] == "release"
    dropped = frame.index[is_late ^ is_release][::4]
    frame = frame.assign(phase=np.where(is_late, 2, 1), value=frame["value"] + 100 * is_late)
    effect = effect_within_phases(count_evidence(store(frame.drop(dropped)), 7 * DAY).sums)
    assert effect and abs(effect.difference) < 4 * effect.standard_error < 4


def test_the_days_that_are_left_are_those_of_todays_effect(store: Store, task: Task) -> None:
    tally = count_evidence(store(traffic()), 7 * DAY)
    last = looks_by_day(tally, 4_000)[-1]

    def days(effect: float) -> int | None:
        return days_left(task, tally, last._replace(effect=last.effect._replace(difference=effect)))

    assert days(-1.0) is None and days(0.5) > days(0.6) > 1
