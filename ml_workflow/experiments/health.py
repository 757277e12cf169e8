"""Is the experiment sound, in sentences: each check names the arm, the counts and the way out."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ..statistics.delay import share_needed
from ..statistics.sample_ratio import (
    MISMATCH_ONCE,
    MISMATCH_WATCHED,
    mismatch_p,
    mismatch_p_watched,
)
from ..statistics.tails import NORMAL, skewness_of_difference
from ..task.definition import Task
from .evidence import Evidence
from .plan import ARMS, DAY, metric_name
from .tally import HOUR, Tally, slowest_delay


class Check(NamedTuple):
    """One question put to the experiment before its effect."""

    name: str  # what was asked
    passed: bool  # a failed check blocks the recommendation
    said: str  # what was found, and what to do about it


def check_health(task: Task, tally: Tally, aa: bool = False) -> list[Check]:
    """All checks: those of the sums, then whether the experiment still is the one that was planned.

    In an A/A test both arms are decided by the current process, as in a shadow.
    """
    fault = departure(tally.evidence, metric_name(task), aa)
    said = f"Experiment {tally.evidence.name}{fault}" if fault else " ".join(notes(tally))
    return [*check_sums(tally), Check("as planned", not fault, said)]


def check_sums(tally: Tally) -> list[Check]:
    """The checks that need nothing but what was counted."""
    faults = {name: fault(tally) for name, fault in FAULTS.items()}
    return [
        Check(name, not fault, f"Experiment {tally.evidence.name}: {fault}." if fault else "")
        for name, fault in faults.items()
    ]


def departure(evidence: Evidence, metric: str, aa: bool = False) -> str:
    """What keeps the experiment from being the one planned; empty where nothing does.

    `metric` is what the task measures now.
    """
    if evidence.is_shadow and not aa:
        return (
            " runs in shadow, so both arms are decided by the current process: judge it with "
            "aa=true, or start one without shadow."
        )
    if evidence.is_changed:
        return (
            ": its salts, weights or plan were changed after it began, so its units no longer are "
            "what was planned: end it, and start a new one."
        )
    planned = evidence.plan.metric
    if planned not in ("", metric):
        return (
            f" was planned for the metric {planned!r}, the task now says {metric!r}: take the old "
            "values back, or start a new experiment."
        )
    return ""


def notes(tally: Tally) -> list[str]:
    """What is only to be known of how the experiment departs from its plan, in sentences."""
    name, plan = f"Experiment {tally.evidence.name}", tally.evidence.plan
    first, *later = tally.evidence.phases
    changes = []
    if not plan.units:
        changes.append(
            "no planned number of units: its bounds are those of a sequence without an end"
        )
    for change, field in (("other weights", "weights"), ("another metric", "metric")):
        changed = [getattr(phase, field) != getattr(first, field) for phase in later]
        if any(changed):
            number = changed.index(True) + 2
            changes.append(f"{change} from phase {number} on: arms are compared within phases")
    sentences = ["; ".join(f"{name} has {change}" for change in changes) + "."] if changes else []
    units = tally.sums["units"].sum()
    if plan.units and units > plan.units:
        sentences.append(
            f"{name}: {units:,.0f} units are more than the {plan.units:,} planned, the bounds are "
            "now those of a sequence."
        )
    return sentences


class _Split(NamedTuple):
    """Units of (current, release) in a phase, and the shares that they should have."""

    phase: int
    daily: np.ndarray  # shape (days, arms)
    weights: list[float]

    @property
    def units(self) -> np.ndarray:
        """Units by arm."""
        return self.daily.sum(axis=0)


def _sample_ratio(tally: Tally) -> str:
    """At the end, in each phase and watched daily (Fabijan et al. 2019; Lindon & Malek 2022)."""
    phases, splits = tally.evidence.phases, []
    for number in map(int, tally.sums["phase"].unique()):
        rows = tally.sums[tally.sums["phase"] == number]
        daily = rows.pivot_table("exposed", "day", "arm", "sum", fill_value=0)
        shares = phases[min(max(number, 1), len(phases)) - 1].weights
        arms = daily.reindex(columns=list(ARMS), fill_value=0).to_numpy(float)
        splits.append(_Split(number, arms, [shares[arm] for arm in ARMS]))
    overall = mismatch_p([split.units for split in splits], [split.weights for split in splits])
    once = [mismatch_p(split.units, split.weights) * len(splits) for split in splits]
    watched = [
        len(splits) * float(mismatch_p_watched(split.daily.cumsum(axis=0), split.weights)[-1])
        for split in splits
    ]
    if min(overall, *once) >= MISMATCH_ONCE and min(watched) >= MISMATCH_WATCHED:
        return ""
    worst = splits[int(np.argmin(np.minimum(once, watched)))]
    planned = ", ".join(
        f"{arm} {int(units):,} ({weight:.0%} planned)"
        for arm, units, weight in zip(ARMS, worst.units, worst.weights, strict=True)
    )
    place = f"in phase {worst.phase}, " if len(splits) > 1 else ""
    return (
        f"{place}units are split {planned}, which is no chance "
        f"(p = {min(overall, *once, *watched):.1g}): find where units of one arm are lost or added "
        "before believing any effect"
    )


def _crossed(tally: Tally) -> str:
    """Is any unit in both arms?"""
    way_out = "leave them out, and look at how units are told apart and assigned"
    return _some(tally.evidence.crossed, f"units are in both arms: {way_out}")


def _doubled(tally: Tally) -> str:
    """Stands any row there twice?"""
    way_out = "leave out the copies, then run again"
    return _some(tally.evidence.doubled, f"units have the same row more than once: {way_out}")


def _strays(tally: Tally) -> str:
    """Is any outcome of an unknown unit?"""
    way_out = "look at the ids that the outcomes are sent with"
    return _some(tally.evidence.strays, f"outcomes belong to no known unit or decision: {way_out}")


def _some(count: int, fault: str) -> str:
    """The fault with its count, where there is any."""
    return f"{count:,} {fault}" if count else ""


def _early(tally: Tally) -> str:
    """Came any outcome before its unit's exposure?"""
    way_out = "look at the clocks, or at what is counted as the outcome"
    return _counted(tally, "early", "an outcome from before the exposure", way_out)


def _broken(tally: Tally) -> str:
    """Is any worth not finite?"""
    return _counted(tally, "broken", "a worth that is missing or infinite", "mend these rows")


def _counted(tally: Tally, column: str, what: str, way_out: str) -> str:
    """A sentence if any unit of an arm has a fault."""
    counts = " and ".join(
        f"{int(rows[column].sum()):,} of {int(rows['exposed'].sum()):,} units of {arm}"
        for arm, rows in tally.arms.items()
        if rows[column].sum()
    )
    return f"{counts} have {what}: {way_out}" if counts else ""


def _silent(tally: Tally) -> str:
    """Stand units without an outcome unequally in the arms (chi-square), or are they most?"""
    silent, units = (
        np.array([rows[name].sum() for rows in tally.arms.values()]) for name in ("silent", "units")
    )
    if not silent.any() or not units.all():
        return ""
    table = np.stack([silent, units - silent])
    is_uneven = (
        bool((table.sum(axis=1) > 0).all()) and stats.chi2_contingency(table).pvalue < MISMATCH_ONCE
    )
    if not is_uneven and silent.sum() <= units.sum() / 2:
        return ""
    counts = " and ".join(
        f"{int(some):,} of {int(all_):,} ripe units of {arm}"
        for arm, some, all_ in zip(ARMS, silent, units, strict=True)
    )
    return (
        f"{counts} have no outcome (counted as 0), which is "
        f"{'no chance' if is_uneven else 'most of them'}: look at how outcomes are sent back"
    )


def _unripe(tally: Tally) -> str:
    """Has each arm two units whose outcome can be known?"""
    first, days = float(tally.sums["day"].min()), tally.window / DAY
    for arm, rows in tally.arms.items():
        units = int(rows["units"].sum())
        if units < 2:
            ready = pd.Timestamp((first + 1) * DAY + tally.window, unit="s").date()
            passed = max(0.0, tally.evidence.now / DAY - first)
            return (
                f"only {units} of {int(rows['exposed'].sum()):,} units of {arm} are ripe, as "
                f"outcomes take {days:g} days and {passed:.1f} have passed: run again after {ready}"
            )
    return ""


def _late(tally: Tally) -> str:
    """Do outcomes arrive within the window, and was the tail of their delays seen?"""
    current, release = tally.totals
    ripe = tally.sums[tally.sums["units"] > 0]
    if min(current.units, release.units) < 2 or not ripe["absolute"].sum():
        return ""
    error = float(np.sqrt(current.variance / current.units + release.variance / release.units))
    if error == 0:
        return ""
    value = float(ripe["absolute"].sum() / ripe["units"].sum())
    delay = slowest_delay(tally.delays, min(0.999, share_needed(error, value)))
    if delay is None:
        return ""
    days = delay.window * HOUR / DAY
    if tally.is_declared and delay.window * HOUR > tally.window:
        return (
            f"outcomes take {days:.1f} days, longer than the {tally.window / DAY:g} days of "
            f"target.known_after: set it to {int(np.ceil(days)) + 1} days"
        )
    if not tally.is_declared and delay.window >= 1 and not delay.mature:
        return (
            f"outcomes take {days:.1f} days or more and the oldest is {delay.followed / 24:.1f} "
            "days old: the slowest are not in yet, run again when it is "
            f"{2 * days:.0f} days old"
        )
    return ""


def _constant(tally: Tally) -> str:
    """Does the metric vary at all?"""
    current, release = tally.totals
    if min(current.units, release.units) < 2 or current.variance + release.variance > 0:
        return ""
    return (
        f"the metric has zero variance, it is {current.value:g} for all {int(current.units):,} "
        f"units of current and {int(release.units):,} of release: look at what is sent as the "
        "outcome"
    )


def _covariate(tally: Tally) -> str:
    """Has every unit its covariate, the same in both arms, as what was known before is?"""
    if not tally.evidence.abtest.covariate and not tally.sums["xx"].sum():
        return ""  # none is asked for, and a table holds none
    way_out = "fill it in, or leave abtest.covariate out of the task file"
    if missing := _counted(tally, "uncovered", "no covariate", way_out):
        return missing
    current, release = tally.totals
    if min(current.units, release.units) <= 1:
        return ""
    variances = [arm.covariate_variance / arm.units for arm in (current, release)]
    spread = float(np.sqrt(sum(variances)))
    gap = abs(current.covariate - release.covariate)
    if not spread or 2 * stats.norm.sf(gap / spread) >= MISMATCH_ONCE:
        return ""
    return (
        f"the covariate is {current.covariate:.4g} in {int(current.units):,} units of current and "
        f"{release.covariate:.4g} in {int(release.units):,} of release: it must be known before "
        "the exposure and come from the same model in both arms"
    )


def _tails(tally: Tally) -> str:
    """Is the difference of the means near enough to normal (Kohavi et al. 2014)?"""
    moments = []
    for sums, rows in zip(tally.totals, tally.arms.values(), strict=True):
        if sums.units < 2:
            return ""
        mean = sums.y / sums.units
        variance = max(sums.yy / sums.units - mean**2, 0)
        third = (float(rows["yyy"].sum()) - 3 * mean * sums.yy) / sums.units + 2 * mean**3
        moments.append((sums.units, variance, third))
    skewness = skewness_of_difference(*moments)
    if skewness <= NORMAL:
        return ""
    units = sum(units for units, _, _ in moments)
    largest = tally.sums["largest"].max() / tally.sums["absolute"].sum()
    return (
        f"{int(units):,} units are too few for the bounds to hold (skewness of the difference "
        f"{skewness:.2g}, the largest unit holds {largest:.1%} of all): wait for about "
        f"{int(units * (skewness / NORMAL) ** 2):,} units, or cap the metric"
    )


FAULTS: Mapping[str, Callable[[Tally], str]] = {
    "sample ratio": _sample_ratio,
    "units in one arm": _crossed,
    "units once": _doubled,
    "known units": _strays,
    "exposure first": _early,
    "finite metric": _broken,
    "outcomes in both arms": _silent,
    "ripe units": _unripe,
    "outcomes in the window": _late,
    "metric varies": _constant,
    "covariate": _covariate,
    "tails": _tails,
}
"""What can be wrong with an experiment, each as a sentence, or empty, by the name of its check."""
