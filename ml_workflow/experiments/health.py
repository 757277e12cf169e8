"""Is the experiment sound, in sentences: each check names the experiment, the arm, the counts and the way out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ..statistics.health import (
    MISMATCH_ONCE,
    MISMATCH_WATCHED,
    NORMAL,
    Delay,
    delay_window,
    matured_together,
    sample_ratio,
    sample_ratio_watched,
    share_needed,
    skewness_of_difference,
)
from .looks import sums_in

ARMS = ("current", "release")
FEW = 30  # outcomes an arm below which their delays tell nothing
DRAWN = 20_000  # delays an arm that stand for all


class Check(NamedTuple):
    """One question put to the experiment before its effect."""

    name: str  # what was asked
    passed: bool  # a failed check blocks the recommendation
    said: str  # what was found, and what to do about it


class Facts(NamedTuple):
    """What is known of an experiment beside its sums."""

    name: str  # the experiment
    phases: Sequence[Mapping[str, float]]  # weights by arm, of each phase
    window: float  # seconds an outcome is waited for
    now: float  # seconds since 1970 up to which was counted
    strays: int = 0  # outcomes for unknown units
    doubled: int = 0  # units with the same row twice
    crossed: int = 0  # units in both arms
    covariate: bool = False  # whether one is asked for
    declared: bool = True  # whether the window was given, not taken from the delays themselves


def checkup(rows: pd.DataFrame, facts: Facts, arrivals: pd.DataFrame) -> list[Check]:
    """Every check of a summary by arm, phase and day; arrivals counts outcomes by arm, age and delay in hours."""
    arms = {arm: rows[rows["arm"] == arm] for arm in ARMS}
    said = {
        "sample ratio": _ratio(rows, facts.phases),
        "units in one arm": f"{facts.crossed:,} units are in both arms: leave them out, and look at how units are told apart and assigned"
        if facts.crossed
        else "",
        "units once": f"{facts.doubled:,} units have the same row more than once: leave out the copies, then run again"
        if facts.doubled
        else "",
        "known units": f"{facts.strays:,} outcomes belong to no known unit or decision: look at the ids that the outcomes are sent with"
        if facts.strays
        else "",
        "exposure first": _counted(
            arms,
            "early",
            "an outcome from before the exposure",
            "look at the clocks, or at what is counted as the outcome",
        ),
        "finite metric": _counted(
            arms, "broken", "a worth that is missing or infinite", "mend these rows"
        ),
        "outcomes in both arms": _silent(arms),
        "ripe units": _ripe(rows, arms, facts),
        "outcomes in the window": _late(rows, arms, arrivals, facts),
        "metric varies": _constant(rows, arms),
        "covariate": _covariate(arms) if facts.covariate else "",
        "tails": _tails(rows, arms),
    }
    return [
        Check(name, not fault, f"Experiment {facts.name}: {fault}." if fault else "")
        for name, fault in said.items()
    ]


def waiting(arrivals: pd.DataFrame, share: float) -> Delay | None:
    """The window, in hours, in which that share of the outcomes of the slower arm arrives; None where outcomes are few."""
    found = []
    for arm in ARMS:
        part = arrivals[arrivals["arm"] == arm]
        total = int(part["count"].sum())
        if total < FEW:
            return None
        times = np.ceil(part["count"].to_numpy(float) * min(1, DRAWN / total)).astype(int)
        delay, age = (np.repeat(part[name].to_numpy(float), times) for name in ("delay", "age"))
        found.append(delay_window(delay, age, share=share))
    return matured_together(found)


def _ratio(rows: pd.DataFrame, phases: Sequence[Mapping[str, float]]) -> str:
    """At the end, in each phase and watched from day to day (Fabijan et al. 2019; Lindon & Malek 2022)."""
    counts = rows.pivot_table(
        index=["phase", "day"], columns="arm", values="exposed", aggfunc="sum", fill_value=0
    ).reindex(columns=list(ARMS), fill_value=0)
    numbers = counts.index.get_level_values("phase").unique()
    weights = [_weights(phases, int(number)) for number in numbers]
    watched = [
        len(numbers) * float(sample_ratio_watched(counts.loc[n].cumsum().to_numpy(float), w)[-1])
        for n, w in zip(numbers, weights, strict=True)
    ]
    parts = [
        (f"in phase {int(n)}, ", counts.loc[n].sum().to_numpy(float), w)
        for n, w in zip(numbers, weights, strict=True)
    ]
    once = [sample_ratio(seen, w).p_value * len(parts) for _, seen, w in parts]
    overall = sample_ratio([seen for _, seen, _ in parts], weights).p_value
    if overall >= MISMATCH_ONCE and min(once) >= MISMATCH_ONCE and min(watched) >= MISMATCH_WATCHED:
        return ""
    worst, seen, weight = parts[int(np.argmin(np.minimum(once, watched)))]
    share = ", ".join(
        f"{arm} {int(n):,} ({w:.0%} planned)" for arm, n, w in zip(ARMS, seen, weight, strict=True)
    )
    return f"{worst if len(parts) > 1 else ''}units are split {share}, which is no chance (p = {min(overall, *once, *watched):.1g}): find where units of one arm are lost or added before believing any effect"


def _weights(phases: Sequence[Mapping[str, float]], number: int) -> list[float]:
    """The weights of (current, release) in a phase; phases are numbered from 1."""
    weights = phases[min(max(number - 1, 0), len(phases) - 1)]
    return [weights[arm] for arm in ARMS]


def _counted(arms: Mapping[str, pd.DataFrame], column: str, what: str, way_out: str) -> str:
    """A sentence if any unit of an arm has a fault."""
    found = {arm: int(part[column].sum()) for arm, part in arms.items()}
    shown = " and ".join(
        f"{n:,} of {int(arms[arm]['exposed'].sum()):,} units of {arm}"
        for arm, n in found.items()
        if n
    )
    return f"{shown} have {what}: {way_out}" if shown else ""


def _silent(arms: Mapping[str, pd.DataFrame]) -> str:
    """Do units without an outcome stand unequally in the arms (chi-square), or are they most units?"""
    silent, units = (
        np.array([part[name].sum() for part in arms.values()]) for name in ("silent", "units")
    )
    if not silent.any() or not units.all():
        return ""
    table = np.stack([silent, units - silent])
    uneven = (
        bool((table.sum(axis=1) > 0).all())
        and float(stats.chi2_contingency(table).pvalue) < MISMATCH_ONCE
    )
    shown = " and ".join(
        f"{int(s):,} of {int(u):,} ripe units of {arm}"
        for arm, s, u in zip(arms, silent, units, strict=True)
    )
    return (
        f"{shown} have no outcome (counted as 0), which is {'no chance' if uneven else 'most of them'}: look at how outcomes are sent back"
        if uneven or silent.sum() > units.sum() / 2
        else ""
    )


def _ripe(rows: pd.DataFrame, arms: Mapping[str, pd.DataFrame], facts: Facts) -> str:
    """Has each arm two units whose outcome can be known?"""
    days = facts.window / 86_400
    for arm, part in arms.items():
        if (units := int(part["units"].sum())) < 2:
            ready = pd.Timestamp((rows["day"].min() + 1) * 86_400 + facts.window, unit="s").date()
            passed = max(0.0, facts.now / 86_400 - float(rows["day"].min()))
            return f"only {units} of {int(part['exposed'].sum()):,} units of {arm} are ripe, as outcomes take {days:g} days and {passed:.1f} have passed: run again after {ready}"
    return ""


def _late(
    rows: pd.DataFrame, arms: Mapping[str, pd.DataFrame], arrivals: pd.DataFrame, facts: Facts
) -> str:
    """Do outcomes arrive within the window, and was the tail of their delays seen?"""
    ripe = rows[rows["units"] > 0]
    if min(part["units"].sum() for part in arms.values()) < 2 or not ripe["absolute"].sum():
        return ""
    control, release = (sums_in(part) for part in arms.values())
    error = float(np.sqrt(control.variance / control.units + release.variance / release.units))
    if (
        error == 0
        or (
            delay := waiting(
                arrivals,
                min(
                    0.999, share_needed(error, float(ripe["absolute"].sum() / ripe["units"].sum()))
                ),
            )
        )
        is None
    ):
        return ""
    days = delay.window / 24
    if facts.declared and delay.window * 3600 > facts.window:
        return f"outcomes take {days:.1f} days, longer than the {facts.window / 86_400:g} days of target.known_after: set it to {int(np.ceil(days)) + 1} days"
    if not facts.declared and delay.window >= 1 and not delay.mature:
        return f"outcomes take {days:.1f} days or more and the oldest is {delay.followed / 24:.1f} days old: the slowest are not in yet, run again when it is {2 * days:.0f} days old"
    return ""


def _constant(rows: pd.DataFrame, arms: Mapping[str, pd.DataFrame]) -> str:
    """Does the metric vary at all?"""
    sums = [sums_in(part) for part in arms.values()]
    if min(s.units for s in sums) < 2 or sum(s.variance for s in sums) > 0:
        return ""
    return f"the metric has zero variance, it is {sums[0].value:g} for all {int(sums[0].units):,} units of current and {int(sums[1].units):,} of release: look at what is sent as the outcome"


def _covariate(arms: Mapping[str, pd.DataFrame]) -> str:
    """Has every unit its covariate, and is it the same in both arms, as it must be when known before exposure?"""
    if missing := _counted(
        arms,
        "uncovered",
        "no covariate",
        "fill it in, or leave abtest.covariate out of the task file",
    ):
        return missing
    control, release = (sums_in(part) for part in arms.values())
    spread = (
        control.covariate_variance / control.units + release.covariate_variance / release.units
        if min(control.units, release.units) > 1
        else 0
    )
    if (
        not spread
        or 2 * stats.norm.sf(abs(control.covariate - release.covariate) / np.sqrt(spread))
        >= MISMATCH_ONCE
    ):
        return ""
    return f"the covariate is {control.covariate:.4g} in {int(control.units):,} units of current and {release.covariate:.4g} in {int(release.units):,} of release: it must be known before the exposure and come from the same model in both arms"


def _tails(rows: pd.DataFrame, arms: Mapping[str, pd.DataFrame]) -> str:
    """Is the difference of the means near enough to normal (Kohavi et al. 2014, for the difference)?"""
    sums = {arm: (sums_in(part), float(part["yyy"].sum())) for arm, part in arms.items()}
    if min(s.units for s, _ in sums.values()) < 2:
        return ""
    means = [s.y / s.units for s, _ in sums.values()]
    moments = [
        (s.units, max(s.yy / s.units - mean**2, 0), (yyy - 3 * mean * s.yy) / s.units + 2 * mean**3)
        for mean, (s, yyy) in zip(means, sums.values(), strict=True)
    ]
    skewness = skewness_of_difference(*moments)
    if skewness <= NORMAL:
        return ""
    units = sum(s.units for s, _ in sums.values())
    largest = float(rows["largest"].max() / rows["absolute"].sum())
    return f"{int(units):,} units are too few for the bounds to hold (skewness of the difference {skewness:.2g}, the largest unit holds {largest:.1%} of all): wait for about {int(units * (skewness / NORMAL) ** 2):,} units, or cap the metric"
