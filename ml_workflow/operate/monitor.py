"""Is the world still the one that the champion learned from: a window of its decisions against its training part and promise."""

import time
from datetime import UTC, datetime
from math import prod
from typing import NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa
from scipy import stats

from ..data.contract import faults
from ..data.window import ALPHA, WORSE, alarms_of, plain, row_count, shift_of
from ..experiments.plan import known_after
from ..model.registry import champion
from ..model.release import Release
from ..serve.score import as_promised
from ..statistics.drift import compare_categories, drifted
from ..store.database import open as opened
from .reference import Promise, judged, promise, window_from
from .traffic import HOUR, Came, Traffic, came, sampled, traffic

BUSY = 20  # decisions from which an hour without any is no chance
WEEK = 168  # hours
LATE = 0.1  # share of outcomes that are later than usual from which it matters


class Seen(NamedTuple):
    """What a window is judged by: traffic up to `end`, of which the last `span` seconds are the window; rows as given; scores; what came of mature decisions, and of those of the span before."""

    every: Traffic
    end: float
    span: float
    rows: pd.DataFrame
    scored: pd.DataFrame
    matured: pd.DataFrame
    came: Came
    came_before: Came

    @property
    def now(self) -> Traffic:
        """The window's traffic."""
        return self.every.between(self.end - self.span, self.end)

    @property
    def before(self) -> Traffic:
        """The traffic of the span before."""
        return self.every.between(self.end - 2 * self.span, self.end - self.span)


class Report(NamedTuple):
    """The version; how many decisions, and of how many the columns are compared; findings by what moved, each a sentence; figures, those of many by label."""

    version: str
    decisions: int
    looked_at: int
    findings: dict[str, str]
    figures: dict[str, float | dict[str, float]]


def monitor(url: str, task: str, days: float = 7, now: float | None = None) -> Report:
    """Hold the decisions of the last days against the champion's training part and promise; raises Refusal in a sentence.

    Counts, delays and money are sums over all decisions; columns and scores are compared on an even sample of them.
    """
    version, release = champion(task)
    held, engine = promise(release), opened(url)
    end = (now // HOUR if now is not None else time.time() // HOUR + 1) * HOUR
    seen = look(engine, version, release, end, max(days * 24 * HOUR, HOUR))
    engine.dispose()
    if seen is None:
        return Report(
            version,
            0,
            0,
            {"volume": f"no decision of {task} in the last {days:g} days"},
            {"findings": 1.0},
        )
    found = findings(version, release, held, seen)
    return Report(
        version, seen.now.rows, len(seen.rows), found, figures(version, held, seen, found)
    )


def look(engine: sa.Engine, version: str, release: Release, end: float, span: float) -> Seen | None:
    """What the database tells of a window that ends at `end`, in seconds since 1970; None where it holds no decision."""
    task, delay = release.task(), known_after(release.task())
    every = traffic(
        engine, task.name, end - delay - 2 * span, end, actions=bool(release.card["classes"])
    )
    now = every.between(end - span, end)
    if not now.rows:
        return None
    old, older = (every.between(until - span, until) for until in (end - delay, end - delay - span))
    sums = [came(engine, task.name, version, part, delay or HOUR) for part in (old, older)]
    known = matured(release, own(sampled(engine, task.name, old), version))
    rows = sampled(engine, task.name, now)
    return Seen(every, end, span, given(release, rows), scores_of(own(rows, version)), known, *sums)


def own(seen: pd.DataFrame, version: str) -> pd.DataFrame:
    """What a version decided by its score."""
    return seen[(seen["version"] == version) & (seen["judged"] == 1)].reset_index(drop=True)


def given(release: Release, seen: pd.DataFrame) -> pd.DataFrame:
    """The rows as given, typed as the contract says where they can be; columns that never came are missing."""
    frame = pd.DataFrame(list(seen["row"]), index=seen.index)
    for column in release.contract.keys() - set(frame):
        frame[column] = np.nan
    read = as_promised(release.contract, frame)
    numbers = [c for c, rule in release.contract.items() if rule["type"] in ("integer", "number")]
    return read.assign(
        **{
            c: n
            for c in numbers
            if (n := pd.to_numeric(read[c], errors="coerce")).notna().sum() == read[c].notna().sum()
        }
    )[list(release.contract)]


def scores_of(decided: pd.DataFrame) -> pd.DataFrame:
    """The score(s) of decisions, a column each."""
    return pd.DataFrame(
        np.array(decided["score"].tolist(), dtype=float).reshape(len(decided), -1)
        if len(decided)
        else np.empty((0, 1))
    ).add_prefix("score ")


def matured(release: Release, decided: pd.DataFrame) -> pd.DataFrame:
    """Loss and outcome less score of the decisions whose worth is known."""
    known = decided.dropna(subset=["worth"]).reset_index(drop=True)
    if known.empty:
        return pd.DataFrame(columns=["loss", "gap"], dtype=float)
    return judged(
        release.task(),
        given(release, known),
        scores_of(known).to_numpy(),
        known["action"].to_numpy(),
        known["worth"].to_numpy(),
        release.card["classes"],
    )


def findings(version: str, release: Release, held: Promise, seen: Seen) -> dict[str, str]:
    """What moved, each in a sentence: contract, columns and relations, scores, losses, traffic, decisions, outcomes, money."""
    numeric = [str(c) for c in held.inputs if c not in release.task().private]
    usual, now = (
        window_from(held.inputs, held.holdout, held.holdout),
        window_from(seen.rows, seen.scored, seen.matured),
    )
    checks = {
        "volume": volume(seen),
        "gap": gaps(seen),
        "decision rate": decision_rate(version, held, seen),
        "delay of outcomes": delays(seen),
        "money": money(release, held, seen),
    }
    return (
        contract(release, seen.rows)
        | alarms_of(usual, now, numeric, len(seen.rows))
        | {name: said for name, said in checks.items() if said}
    )


def contract(release: Release, rows: pd.DataFrame) -> dict[str, str]:
    """The rules of the release's contract that rows break; of a range that more break than chance gives."""
    found = faults(release.contract, rows, "", release.task().private).to_dict("records")
    odd = [
        f
        for f in found
        if not (
            f["rule"].startswith("is from")
            and by_chance(f["rows"], len(rows), release.card["rows"], len(release.contract))
        )
    ]
    return {
        f"contract, {f['column']}": f"{f['rule']}: broken in {f['rows']:,} of {len(rows):,} rows"
        for f in odd
    }


def by_chance(beyond: int, rows: int, learned: int, columns: int) -> bool:
    """Whether so many of the rows may lie beyond all learned ones though nothing moved: each of the most extreme of all is as likely a new one as its share."""
    return 2 * columns * prod((rows - i) / (rows + learned - i) for i in range(beyond)) > ALPHA


def volume(seen: Seen) -> str:
    """Far fewer or more decisions than in the span before, and than chance gives (binomial); "" where that was not seen whole."""
    before, now = seen.before.rows, seen.now.rows
    whole = before and seen.before.sums["hour"].min() <= (seen.end - 2 * seen.span) // HOUR + 1
    return (
        row_count(before, now)
        if whole and stats.binomtest(now, now + before).pvalue < ALPHA
        else ""
    )


def gaps(seen: Seen) -> str:
    """Hours without a decision that have many in other weeks; "" where there is none."""
    hours = seen.every.hours(seen.end - HOUR)
    same = hours.groupby(hours.index % WEEK)
    others = (same.transform("sum") - hours) / (same.transform("size") - 1).clip(lower=1)
    empty = hours.index[
        (hours == 0) & (others >= BUSY) & (hours.index >= (seen.end - seen.span) // HOUR)
    ]
    return (
        f"{len(empty)} hours without a decision, the first at {datetime.fromtimestamp(int(empty[0]) * HOUR, UTC):%Y-%m-%d %H:%M} UTC"
        if len(empty)
        else ""
    )


def decision_rate(version: str, held: Promise, seen: Seen) -> str:
    """How often each action was taken, against the holdout; "" where that is the same, or actions are numbers."""
    before, now = held.holdout["decision"].value_counts(), seen.now.actions(version)
    if (
        "" in now.index
        or not now.sum()
        or not drifted({"": compare_categories(before.to_dict(), now.to_dict())}, alpha=ALPHA)[
            ""
        ].drifted
    ):
        return ""
    shares = pd.DataFrame({"before": before / before.sum(), "now": now / now.sum()}).fillna(0)
    return "; ".join(
        f"{action} {old:.1%}, now {new:.1%}" for action, old, new in shares.itertuples()
    )


def delays(seen: Seen) -> str:
    """Outcomes that should be there by now and are not, or came late, by more than usual; "" where none ever came."""
    now, before = seen.came, seen.came_before
    if not now.known and not before.known:
        return ""
    late, usual = (part.late / part.decisions if part.known else 0.0 for part in (now, before))
    certain = (
        now.decisions
        and stats.binomtest(
            now.late, now.decisions, min(usual + LATE, 1), alternative="greater"
        ).pvalue
        < ALPHA
    )
    return (
        f"{late:.0%} of the outcomes came later than the task says, or not yet (usual: {usual:.0%})"
        if certain
        else ""
    )


def money(release: Release, held: Promise, seen: Seen) -> str:
    """What mature decisions earned each, where it falls short of the holdout by more than chance and a share that matters (Welch 1947)."""
    before, now = held.holdout["worth"].to_numpy(), seen.came
    if min(len(before), now.own) < 10 or before.mean() - now.worth / now.own <= WORSE * abs(
        before.mean()
    ):
        return ""
    mean = now.worth / now.own
    spread = np.sqrt(max(now.squares / now.own - mean**2, 0) * now.own / (now.own - 1))
    test = stats.ttest_ind_from_stats(
        mean,
        spread,
        now.own,
        before.mean(),
        before.std(ddof=1),
        len(before),
        equal_var=False,
        alternative="less",
    )
    return (
        f"a decision earned {mean:,.4g} {release.task().value.currency}, {before.mean():,.4g} were promised"
        if test.pvalue < ALPHA
        else ""
    )


def figures(
    version: str, held: Promise, seen: Seen, found: dict[str, str]
) -> dict[str, float | dict[str, float]]:
    """The figures behind a report: PSI by column, shares by action, and sums."""
    pairs = [
        (plain(held.inputs), plain(seen.rows)),
        (held.holdout.filter(regex="^score "), seen.scored),
    ]
    shifts = {
        str(c): shift_of(usual[c], now[c]).psi
        for usual, now in pairs
        for c in usual
        if c in now and len(now) and usual[c].notna().any()
    }
    actions = seen.now.actions(version).drop("", errors="ignore")
    sums = {
        "decisions": float(seen.now.rows),
        "money_promised": float(held.holdout["worth"].mean()),
    }
    sums |= {"money_per_decision": seen.came.worth / seen.came.own} if seen.came.own else {}
    return {
        "findings": float(len(found)),
        **sums,
        "drift_psi": shifts,
        "decision_share": {str(a): n / actions.sum() for a, n in actions.items()},
    }
