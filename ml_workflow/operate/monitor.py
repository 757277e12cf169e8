"""Is the world still the one that the champion learned from: decisions against its reference."""

import time
from math import ceil, prod
from typing import NamedTuple

import pandas as pd
import sqlalchemy as sa
from scipy import stats

from ..data.window import ALPHA, WORSE, Window, alarms_of, plain, row_count, shift_of
from ..model.registry import champion
from ..model.release import Release
from ..statistics.drift import compare_categories, drifted
from ..store.database import open_decisions
from .reference import Reference, losses_of, reference_of, score_columns
from .traffic import HOUR, OutcomeSums, Traffic, rows_as_given, traffic_of

BUSY = 20  # decisions from which an hour without any is no chance
WEEK = 168  # hours
LATE = 0.1  # share of outcomes that are later than usual from which it matters


class Observation(NamedTuple):
    """What the decisions database holds of a window.

    `traffic` is the task's up to its end, of which `now` is the window's. `sample` has rows as
    given, the scores that the release decided by, and losses of its decisions whose outcomes have
    had time to arrive; `outcomes` are the sums over all of these, and `outcomes_before` those of
    the span before.
    """

    release: Release
    traffic: Traffic
    now: Traffic
    sample: Window
    outcomes: OutcomeSums
    outcomes_before: OutcomeSums


class Report(NamedTuple):
    """The version; how many decisions, and of how many the columns are compared.

    Findings by what moved, each a sentence; figures, those of many by label.
    """

    version: str
    decisions: int
    sample_size: int
    findings: dict[str, str]
    figures: dict[str, float | dict[str, float]]


def monitor(url: str, task: str, days: float = 7, now: float | None = None) -> Report:
    """Hold the decisions of the last days against the champion's reference; raises Refusal.

    Counts, delays and money are sums over all decisions; columns and scores are compared on an
    even sample of them. `now` is in seconds since 1970.
    """
    version, release = champion(task)
    reference, engine = reference_of(release), open_decisions(url)
    end, span = ceil((now or time.time()) / HOUR) * HOUR, max(round(days * 24), 1) * HOUR
    observation = observe(engine, version, release, end, span)
    engine.dispose()
    if observation is None:
        findings = {"volume": f"no decision of {task} in the last {days:g} days"}
        return Report(version, 0, 0, findings, {"findings": 1.0})
    findings = findings_of(reference, observation)
    numbers = {"findings": float(len(findings)), **figures(reference, observation)}
    size = len(observation.sample.inputs)
    return Report(version, observation.now.decisions, size, findings, numbers)


def observe(
    engine: sa.Engine, version: str, release: Release, end: float, span: float
) -> Observation | None:
    """A version's window of `span` seconds up to `end`, in full hours; None without decisions."""
    kind, contract = release.kind, release.contract
    delay = ceil(release.task.target.delay / HOUR) * HOUR
    traffic = traffic_of(
        engine, version, end - delay - 2 * span, end, by_action=kind.choose(True, False)
    )
    ends = (end, end - delay, end - delay - span)
    now, mature, earlier = (traffic.between(until - span, until) for until in ends)
    if not now.decisions:
        return None
    sample, matured = now.sample(), mature.sample()
    known = matured[(matured["own"] == 1) & matured["value"].notna()]
    limit = release.task.target.delay or HOUR
    window = Window(
        rows_as_given(contract, sample)[list(contract)],
        score_columns(sample[sample["own"] == 1]),
        losses_of(kind, rows_as_given(contract, known), known),
    )
    sums = mature.outcome_sums(limit), earlier.outcome_sums(limit)
    return Observation(release, traffic, now, window, *sums)


def findings_of(reference: Reference, observation: Observation) -> dict[str, str]:
    """What moved, each in a sentence.

    Contract, columns and relations, scores, losses, traffic, decisions, outcomes, money.
    """
    release, sample = observation.release, observation.sample
    columns = [str(c) for c in reference.inputs if c not in release.task.private]
    checks = {
        "volume": volume(observation),
        "gap": gaps(observation),
        "decision rate": decision_rate(reference, observation),
        "delay of outcomes": delays(observation),
        "money": money(reference, observation),
    }
    return (
        broken_rules(release, sample.inputs)
        | alarms_of(reference.window, sample, columns, len(sample.inputs))
        | {name: sentence for name, sentence in checks.items() if sentence}
    )


def broken_rules(release: Release, rows: pd.DataFrame) -> dict[str, str]:
    """The rules of the contract that rows break; ranges where more do than by chance."""
    card, contract = release.card, release.contract
    faults = contract.faults(rows, private=release.task.private)
    return {
        f"contract, {column}": f"{rule}: broken in {count:,} of {len(rows):,} rows"
        for column, rule, count, _ in faults.itertuples(index=False)
        if not (
            rule.startswith("is from") and is_chance(count, len(rows), card.rows, len(contract))
        )
    }


def is_chance(beyond: int, rows: int, learned: int, columns: int) -> bool:
    """Whether so many of the rows may lie beyond all that were learned from though nothing moved.

    Each of the most extreme of all rows is as likely a new one as its share of them.
    """
    chance = prod((rows - i) / (rows + learned - i) for i in range(beyond))
    return 2 * columns * chance > ALPHA


def volume(observation: Observation) -> str:
    """Far fewer or more decisions than in the span before, and than by chance (binomial).

    "" where there are not, or where the span before was not seen whole.
    """
    now = observation.now
    before = observation.traffic.between(2 * now.since - now.until, now.since)
    if not before.decisions or before.sums["hour"].min() > before.since + HOUR:
        return ""
    test = stats.binomtest(now.decisions, now.decisions + before.decisions)
    return row_count(before.decisions, now.decisions) if test.pvalue < ALPHA else ""


def gaps(observation: Observation) -> str:
    """Hours without a decision that have many in other weeks; "" where there is none."""
    hours = observation.traffic.by_hour
    same = hours.groupby(hours.index // HOUR % WEEK)
    others = (same.transform("sum") - hours) / (same.transform("size") - 1).clip(lower=1)
    is_now = hours.index >= observation.now.since
    empty = hours.index[(hours == 0) & (others >= BUSY) & is_now]
    if empty.empty:
        return ""
    first = pd.Timestamp(empty[0], unit="s")
    return f"{len(empty)} hours without a decision, the first at {first:%Y-%m-%d %H:%M} UTC"


def decision_rate(reference: Reference, observation: Observation) -> str:
    """How often each action was taken, against the holdout.

    "" where that is the same, or actions are numbers.
    """
    before = reference.holdout["action"].value_counts()
    now = observation.now.actions()
    if "" in now.index or not now.sum():
        return ""
    shift = compare_categories(before.to_dict(), now.to_dict())
    if not drifted({"": shift}, alpha=ALPHA):
        return ""
    shares = pd.DataFrame({"before": before / before.sum(), "now": now / now.sum()}).fillna(0)
    return "; ".join(
        f"{action} {old:.1%}, now {new:.1%}" for action, old, new in shares.itertuples()
    )


def delays(observation: Observation) -> str:
    """Outcomes that should be there and are not, or came late, by more than usual.

    "" where there are not, or where none ever came.
    """
    now, before = observation.outcomes, observation.outcomes_before
    if not now.decisions or not (now.known or before.known):
        return ""
    late, usual = (part.late / part.decisions if part.known else 0.0 for part in (now, before))
    expected = min(usual + LATE, 1)
    test = stats.binomtest(now.late, now.decisions, expected, alternative="greater")
    if test.pvalue >= ALPHA:
        return ""
    return (
        f"{late:.0%} of the outcomes came later than the task says, or not yet (usual: {usual:.0%})"
    )


def money(reference: Reference, observation: Observation) -> str:
    """What matured decisions earned each, where it falls short of the holdout (Welch 1947).

    "" where it does not by more than chance and a share that matters.
    """
    promise, now = reference.holdout["value"], observation.outcomes
    expected = float(promise.mean())
    if min(len(promise), now.own) < 10 or expected - now.mean <= WORSE * abs(expected):
        return ""
    test = stats.ttest_ind_from_stats(
        now.mean,
        now.deviation,
        now.own,
        expected,
        promise.std(),
        len(promise),
        equal_var=False,
        alternative="less",
    )
    if test.pvalue >= ALPHA:
        return ""
    currency = observation.release.task.value.currency
    return f"a decision earned {now.mean:,.4g} {currency}, {expected:,.4g} were promised"


def figures(reference: Reference, observation: Observation) -> dict[str, float | dict[str, float]]:
    """The figures behind a report: PSI by column, shares by action, and sums."""
    before, now = (
        {**plain(window.inputs), **window.scores}
        for window in (reference.window, observation.sample)
    )
    known = [c for c in before if c in now and len(now[c]) and before[c].notna().any()]
    actions, outcomes = observation.now.actions().drop("", errors="ignore"), observation.outcomes
    return {
        "decisions": float(observation.now.decisions),
        "money_promised": float(reference.holdout["value"].mean()),
        **({"money_per_decision": outcomes.mean} if outcomes.own else {}),
        "drift_psi": {str(c): shift_of(before[c], now[c]).psi for c in known},
        "decision_share": {str(action): n / actions.sum() for action, n in actions.items()},
    }
