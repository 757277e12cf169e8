"""The effect after each day, with bounds that hold at every look, and the days to be sure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ..decision.amounts import volume
from ..statistics.bounds import Bound, bounds_at_looks
from ..statistics.effects import Effect, stratified_effect
from ..statistics.power import Design, size_for_mean
from ..statistics.sums import Sums
from ..task.definition import Task
from .health import Check
from .plan import RELEASE
from .tally import Tally, totals_in

ALPHA = 0.05
"""Error allowed over all looks: on both sides together, or on the one side that is asked for."""
ENOUGH = 10.0
"""Standard errors beyond which no error is left to spend (probability below 1e-22)."""
FREEDOM = 10.0
"""Degrees of freedom from which a look has bounds at all."""


class Look(NamedTuple):
    """The effect of all units exposed until a day, between bounds that hold at every look."""

    day: int  # days since 1970 of the last exposure counted
    effect: Effect  # in the metric's unit, a decision
    bound: Bound


def looks_by_day(tally: Tally, expected: float, checks: Sequence[Check] = ()) -> list[Look]:
    """A look after every day, so that the bounds hold whenever one looks.

    They follow the plan's units; where there are none they are a sequence that is tightest at
    `expected` units, a size fixed beforehand. The effect is not adjusted where the covariate's
    check failed.
    """
    adjust = all(check.passed for check in checks if check.name == "covariate")
    plan, sums = tally.evidence.plan, tally.sums
    effects: list[tuple[int, Effect]] = []
    for day in np.unique(sums.loc[sums["units"] > 0, "day"]):
        effect = effect_within_phases(sums[sums["day"] <= day], adjust=adjust)
        if effect is None or effect.degrees_of_freedom < FREEDOM:
            continue
        if not effects or effect.units > effects[-1][1].units:
            effects.append((int(day), effect))
    if not effects:
        return []
    bounds = bounds_at_looks(
        [effect.units for _, effect in effects],
        planned=plan.units,
        expected=expected,
        alpha=2 * ALPHA / (plan.sides or tally.evidence.abtest.sides),
    )
    return [
        Look(day, _bounded(effect, bound), bound)
        for (day, effect), bound in zip(effects, bounds, strict=True)
    ]


def effect_within_phases(sums: pd.DataFrame, *, adjust: bool = True) -> Effect | None:
    """The effect in sums by arm, phase and day; None where nothing can be compared yet.

    Phases count in which each arm has two units and the metric varies.
    """
    phases: list[tuple[Sums, Sums]] = []
    for _, part in sums[sums["units"] > 0].groupby("phase"):
        current, release = totals_in(part)
        if min(current.units, release.units) >= 2 and current.variance + release.variance > 0:
            phases.append((current, release))
    return stratified_effect(phases, adjust=adjust) if phases else None


def _bounded(effect: Effect, bound: Bound) -> Effect:
    """The effect at a look's bound, taken to the t distribution where arms are small."""
    error = stats.norm.sf(min(bound.critical, ENOUGH))
    half = float(stats.t.isf(error, effect.degrees_of_freedom)) * effect.standard_error
    return effect._replace(lower=effect.difference - half, upper=effect.difference + half)


def days_left(task: Task, tally: Tally, last: Look) -> int | None:
    """Days of traffic until an effect as large as that of the last look would show.

    None where it does not exceed the cost of running.
    """
    effect, evidence = last.effect, tally.evidence
    gain = effect.difference - task.value.run_cost_per_month / volume(task)
    if gain <= 0:
        return None
    share = evidence.phases[-1].weights[RELEASE]
    deviation = effect.standard_error * float(np.sqrt(effect.units * share * (1 - share)))
    design = Design(share=share, sides=task.abtest.sides, looks=task.abtest.looks)
    units = max(size_for_mean(gain, deviation, design), evidence.plan.units or 0)
    return max(1, int(np.ceil((units - effect.units) / (volume(task) / 30))))
