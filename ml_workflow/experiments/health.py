"""Is the experiment sound, in sentences: each check names the arm, the counts and the way out."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ..statistics.delay import share_needed
from ..statistics.sample_ratio import MISMATCH_ONCE, sample_ratio
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


FAULTS_OF_EXPERIMENT = {
    "units in one arm": (
        "crossed",
        "units are in both arms: leave them out, and look at how units are told apart and assigned",
    ),
    "units once": (
        "doubled",
        "units have the same row more than once: leave out the copies, then run again",
    ),
    "known units": (
        "strays",
        "outcomes belong to no known unit or decision: look at the ids that the outcomes are sent "
        "with",
    ),
}
"""Check: field of the evidence that counts its fault, and the sentence."""
FAULTS_OF_ARMS = {
    "exposure first": (
        "early",
        "an outcome from before the exposure: look at the clocks, or at what is counted as the "
        "outcome",
    ),
    "finite metric": ("broken", "a worth that is missing or infinite: mend these rows"),
}
"""Check: column of the sums that counts its fault, and the sentence."""


def check_health(task: Task, tally: Tally, aa: bool = False) -> list[Check]:
    """All checks: those of the sums, then whether the experiment still is the one that was planned.

    In an A/A test both arms are decided by the current process, as in a shadow.
    """
    fault = departure(tally.evidence, metric_name(task), aa)
    said = f"Experiment {tally.evidence.name}{fault}" if fault else " ".join(notes(tally))
    return [*check_sums(tally), Check("as planned", not fault, said)]


def check_sums(tally: Tally) -> list[Check]:
    """The checks that need nothing but what was counted."""
    faults = {
        "sample ratio": _sample_ratio(tally),
        **{
            name: f"{count:,} {fault}" if (count := getattr(tally.evidence, field)) else ""
            for name, (field, fault) in FAULTS_OF_EXPERIMENT.items()
        },
        **{name: _fault_of_arms(tally, *fault) for name, fault in FAULTS_OF_ARMS.items()},
        "outcomes in both arms": _silent(tally),
        "ripe units": (unripe := _unripe(tally)),
        "outcomes in the window": "" if unripe else _late(tally),
        "metric varies": "" if unripe else _constant(tally),
        "covariate": _covariate(tally),
        "tails": "" if unripe else _tails(tally),
    }
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
    name, planned = f"Experiment {tally.evidence.name}", tally.evidence.plan.units
    units, changes = tally.sums["units"].sum(), []
    if not planned:
        bounds = "its bounds are those of a sequence without an end"
        changes.append(f"{name} has no planned number of units: {bounds}")
    phases = zip(*tally.evidence.phases, strict=True)
    for change, values in zip(("other weights", "another metric"), phases, strict=True):
        number = next((n for n, value in enumerate(values, 1) if value != values[0]), None)
        if number:
            compared = "arms are compared within phases"
            changes.append(f"{name} has {change} from phase {number} on: {compared}")
    sentences = ["; ".join(changes) + "."] if changes else []
    if planned and units > planned:
        sentences.append(
            f"{name}: {units:,.0f} units are more than the {planned:,} planned, the bounds are "
            "now those of a sequence."
        )
    return sentences


def _sample_ratio(tally: Tally) -> str:
    """At the end, in each phase and watched daily (Fabijan et al. 2019; Lindon & Malek 2022)."""
    phases, daily, weights, places = tally.evidence.phases, [], [], []
    for number, rows in tally.sums.astype({"phase": int}).groupby("phase"):
        units = rows.pivot_table("exposed", "day", "arm", "sum", fill_value=0)
        shares = phases[int(rows["phase"].clip(1, len(phases)).iloc[0]) - 1].weights
        daily.append(units.reindex(columns=ARMS, fill_value=0))
        weights.append([shares[arm] for arm in ARMS])
        places.append(f"in phase {number}, ")
    found = sample_ratio(daily, weights)
    if not found.is_mismatch:
        return ""
    planned = ", ".join(
        f"{arm} {units:,.0f} ({share:.0%} planned)"
        for (arm, units), share in zip(
            daily[found.worst].sum().items(), weights[found.worst], strict=True
        )
    )
    return (
        f"{places[found.worst] if len(places) > 1 else ''}units are split {planned}, which is no "
        f"chance (p = {found.p_value:.1g}): find where units of one arm are lost or added before "
        "believing any effect"
    )


def _counted(counts: "pd.Series[float]", units: "pd.Series[float]", what: str) -> str:
    """How many units of each arm, of those it has, are so; what says of which kind they are."""
    return " and ".join(
        f"{count:,.0f} of {units[str(arm)]:,.0f} {what} of {arm}" for arm, count in counts.items()
    )


def _fault_of_arms(tally: Tally, column: str, fault: str) -> str:
    """A sentence if any unit of an arm has such a fault."""
    counts = tally.by_arm[column]
    said = _counted(counts[counts > 0], tally.by_arm["exposed"], "units")
    return f"{said} have {fault}" if said else ""


def _silent(tally: Tally) -> str:
    """Stand units without an outcome unequally in the arms (chi-square), or are they most?"""
    silent, units = tally.by_arm["silent"], tally.by_arm["units"]
    if not silent.any() or not units.all():
        return ""
    table = np.stack([silent, units - silent])
    is_uneven = table[1].any() and stats.chi2_contingency(table).pvalue < MISMATCH_ONCE
    if not is_uneven and silent.sum() <= units.sum() / 2:
        return ""
    return (
        f"{_counted(silent, units, 'ripe units')} have no outcome (counted as 0), which is "
        f"{'no chance' if is_uneven else 'most of them'}: look at how outcomes are sent back"
    )


def _unripe(tally: Tally) -> str:
    """Has each arm two units whose outcome can be known?"""
    few = tally.by_arm[tally.by_arm["units"] < 2]
    if few.empty:
        return ""
    counts = _counted(few["units"].head(1), few["exposed"], "units")
    first, days = float(tally.sums["day"].min()), tally.window / DAY
    ready = pd.Timestamp(first + 1 + days, unit="D").date()
    passed = max(0.0, tally.evidence.now / DAY - first)
    return (
        f"only {counts} are ripe, as outcomes take {days:g} days and {passed:.1f} have passed: "
        f"run again after {ready}"
    )


def _late(tally: Tally) -> str:
    """Do outcomes arrive within the window, and was the tail of their delays seen?"""
    size = float(tally.by_arm["absolute"].sum() / tally.by_arm["units"].sum())
    error = sum(arm.variance / arm.units for arm in tally.totals) ** 0.5
    if not error or not size:
        return ""
    delay = slowest_delay(tally.delays, min(0.999, share_needed(error, size)))
    if delay is None:
        return ""
    days = delay.window * HOUR / DAY
    if tally.is_declared and days * DAY > tally.window:
        return (
            f"outcomes take {days:.1f} days, longer than the {tally.window / DAY:g} days of "
            f"target.known_after: set it to {int(np.ceil(days)) + 1} days"
        )
    if not tally.is_declared and delay.window >= 1 and not delay.mature:
        return (
            f"outcomes take {days:.1f} days or more and the oldest is {delay.followed / 24:.1f} "
            f"days old: the slowest are not in yet, run again when it is {2 * days:.0f} days old"
        )
    return ""


def _constant(tally: Tally) -> str:
    """Does the metric vary at all?"""
    current, release = tally.totals
    if current.variance + release.variance > 0:
        return ""
    return (
        f"the metric has zero variance, it is {current.value:g} for all {current.units:,.0f} "
        f"units of current and {release.units:,.0f} of release: look at what is sent as the outcome"
    )


def _covariate(tally: Tally) -> str:
    """Has every unit its covariate, the same in both arms, as what was known before is?"""
    if not tally.evidence.abtest.covariate and not tally.sums["xx"].sum():
        return ""  # none is asked for, and a table holds none
    way_out = "fill it in, or leave abtest.covariate out of the task file"
    current, release = tally.totals
    missing = _fault_of_arms(tally, "uncovered", f"no covariate: {way_out}")
    if missing or min(current.units, release.units) <= 1:
        return missing
    spread = sum(arm.covariate_variance / arm.units for arm in tally.totals) ** 0.5
    gap = abs(current.covariate - release.covariate)
    if not spread or 2 * stats.norm.sf(gap / spread) >= MISMATCH_ONCE:
        return ""
    return (
        f"the covariate is {current.covariate:.4g} in {current.units:,.0f} units of current and "
        f"{release.covariate:.4g} in {release.units:,.0f} of release: it must be known before "
        "the exposure and come from the same model in both arms"
    )


def _tails(tally: Tally) -> str:
    """Is the difference of the means near enough to normal (Kohavi et al. 2014)?"""
    arms = tally.by_arm
    units = arms["units"]
    mean, square, cube = (arms[power] / units for power in ("y", "yy", "yyy"))
    variance, third = (square - mean**2).clip(lower=0), cube - 3 * mean * square + 2 * mean**3
    skewness = skewness_of_difference(*zip(units, variance, third, strict=True))
    if skewness <= NORMAL:
        return ""
    largest = tally.sums["largest"].max() / arms["absolute"].sum()
    return (
        f"{units.sum():,.0f} units are too few for the bounds to hold (skewness of the difference "
        f"{skewness:.2g}, the largest unit holds {largest:.1%} of all): wait for about "
        f"{units.sum() * (skewness / NORMAL) ** 2:,.0f} units, or cap the metric"
    )
