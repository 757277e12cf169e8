"""The effect after each day, from sums by arm, phase and day, with bounds that hold at every look."""

from dataclasses import fields
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ..statistics.bounds import Bound, bounds
from ..statistics.effects import Effect, at_bound, effect_of, non_inferiority, stratified_effect
from ..statistics.sums import Sums

FIELDS = [field.name for field in fields(Sums)]
ENOUGH = 10.0  # standard errors beyond which no error is left to spend (probability below 1e-22)
FREEDOM = 10.0  # degrees of freedom from which a look has bounds at all


class Look(NamedTuple):
    """The effect of all units exposed until a day, between bounds that hold at this and every other look."""

    day: int  # days since 1970 of the last exposure counted
    effect: Effect
    bound: Bound


def sums_in(rows: pd.DataFrame) -> Sums:
    """The sums over all rows of a summary (one row an arm, phase and day)."""
    return Sums(*(float(rows[name].sum()) for name in FIELDS))


def pairs_in(rows: pd.DataFrame) -> list[tuple[Sums, Sums]]:
    """Sums of (current, release) by phase, of the phases in which each arm has two units and the metric varies."""
    found = []
    for _, part in rows[rows["units"] > 0].groupby("phase"):
        control, treatment = (sums_in(part[part["arm"] == arm]) for arm in ("current", "release"))
        if min(control.units, treatment.units) >= 2 and control.variance + treatment.variance > 0:
            found.append((control, treatment))
    return found


def effect_in(rows: pd.DataFrame, *, adjust: bool = True) -> Effect | None:
    """The effect in a summary, within phases where there are several; None where nothing can be compared yet."""
    pairs = pairs_in(rows)
    if not pairs:
        return None
    return (
        effect_of(*pairs[0], adjust=adjust)
        if len(pairs) == 1
        else stratified_effect(pairs, adjust=adjust)
    )


def looks_in(
    rows: pd.DataFrame,
    *,
    planned: float | None,
    expected: float,
    alpha: float = 0.05,
    adjust: bool = True,
) -> list[Look]:
    """A look after every day, so that the bounds hold whenever one looks: planned units where there is a plan, else a sequence.

    expected is the size, fixed beforehand, at which an unplanned sequence is tightest. alpha is two-sided.
    """
    seen = [
        (day, effect_in(rows[rows["day"] <= day], adjust=adjust))
        for day in np.unique(rows.loc[rows["units"] > 0, "day"])
    ]
    effects = [
        (int(day), effect)
        for day, effect in seen
        if effect is not None and effect.degrees_of_freedom >= FREEDOM
    ]
    grown = [k for k, (_, e) in enumerate(effects) if k == 0 or e.units > effects[k - 1][1].units]
    if not grown:
        return []
    found = bounds(
        [effects[k][1].units for k in grown], planned=planned, expected=expected, alpha=alpha
    )
    return [
        Look(effects[k][0], _bounded(effects[k][1], bound), bound)
        for k, bound in zip(grown, found, strict=True)
    ]


def _bounded(effect: Effect, bound: Bound) -> Effect:
    """The effect at a look's bound, taken to the t distribution where arms are small."""
    critical = min(bound.critical, ENOUGH)
    return at_bound(effect, float(stats.t.isf(stats.norm.sf(critical), effect.degrees_of_freedom)))


def guard(
    rows: pd.DataFrame, margin: float, critical: float, *, higher_is_better: bool = True
) -> dict[str, float | bool]:
    """A guardrail at a look's bound: its difference, the worst that is compatible, and whether it held or is surely broken."""
    effect = effect_in(rows)
    if effect is None:  # too few units, or the same for every unit of both arms
        control, treatment = (sums_in(rows[rows["arm"] == arm]) for arm in ("current", "release"))
        same = min(control.units, treatment.units) >= 2 and control.value == treatment.value
        return {
            "difference": 0.0,
            "worst": 0.0,
            "margin": margin,
            "held": same,
            "broken": False,
            "p": 1.0,
        }
    level = min(float(stats.norm.cdf(critical)), 1 - 1e-12)
    seen = non_inferiority(effect, margin, level=level, higher_is_better=higher_is_better)
    best = 2 * effect.difference - seen.bound
    broken = bool(best < -margin) if higher_is_better else bool(best > margin)
    return {
        "difference": effect.difference,
        "worst": seen.bound,
        "margin": margin,
        "held": bool(seen.held),
        "broken": broken,
        "p": float(effect.p_value),
    }
