"""Decisions of a window: summed in the database, and an even sample of them with what came of it."""

from math import ceil
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from ..decision.value import payoffs
from ..store.database import reading
from ..store.decisions import chunks
from ..store.schema import decisions, outcomes

HOUR = 3600
SAMPLE = 20_000  # decisions read; a drift that matters (PSI .02) stands out among them
JUDGED = sa.and_(
    decisions.c.score.is_not(None),
    sa.not_(sa.cast(decisions.c.score, sa.String).startswith("{")),
    sa.func.coalesce(decisions.c.propensity, 1) > 0.5,
)
"""What a release decided by its score: not the current process, alone or with a release in its shadow, and not chance."""
IS_JUDGED = sa.case((JUDGED, 1), else_=0).label("judged")


class Traffic(NamedTuple):
    """Decisions of a task summed by hour: columns hour, version, action ("" where these are not asked), judged, count, first and last position."""

    sums: pd.DataFrame

    def between(self, since: float, until: float) -> "Traffic":
        """The hours from `since` on, before `until`."""
        return Traffic(
            self.sums[self.sums["hour"].between(since // HOUR, until // HOUR, inclusive="left")]
        )

    @property
    def rows(self) -> int:
        """How many decisions."""
        return int(self.sums["count"].sum())

    @property
    def positions(self) -> tuple[int, int]:
        """The first and last position."""
        return int(self.sums["first"].min()), int(self.sums["last"].max())

    @property
    def span(self) -> tuple[float, float]:
        """From the first hour to the end of the last, in seconds since 1970."""
        return float(self.sums["hour"].min() * HOUR), float((self.sums["hour"].max() + 1) * HOUR)

    def hours(self, until: float) -> "pd.Series[int]":
        """How many decisions in each hour from the first with any on, before `until`; by hours since 1970."""
        counts = self.sums.groupby("hour")["count"].sum()
        return counts.reindex(range(int(counts.index.min()), int(until // HOUR)), fill_value=0)

    def actions(self, version: str) -> "pd.Series[int]":
        """How often a version decided for each action."""
        own = self.sums[(self.sums["version"] == version) & (self.sums["judged"] == 1)]
        return own.groupby("action")["count"].sum()


class Came(NamedTuple):
    """Sums over decisions: how many, with an outcome, with none or a late one; and of a version's own with an outcome: how many, their worth and its squares."""

    decisions: int
    known: int
    late: int
    own: int
    worth: float
    squares: float


def of_task(task: str, since: float, until: float) -> list[Any]:
    """The conditions on decisions of a task in a span of seconds since 1970."""
    return [
        decisions.c.version.startswith(f"{task}/", autoescape=True),
        decisions.c.time >= since,
        decisions.c.time < until,
    ]


def traffic(
    engine: sa.Engine, task: str, since: float, until: float, actions: bool = False
) -> Traffic:
    """The decisions of a task by hour, in one pass; by action too where there are few of them."""
    hour = sa.cast(sa.func.floor(decisions.c.time / HOUR), sa.Integer).label("hour")
    action = (decisions.c.action if actions else sa.literal_column("''")).label("action")
    figures = (
        sa.func.count().label("count"),
        sa.func.min(decisions.c.position).label("first"),
        sa.func.max(decisions.c.position).label("last"),
    )
    keys = (hour, decisions.c.version, action, IS_JUDGED)
    query = (
        sa.select(*keys, *figures)
        .where(*of_task(task, since, until))
        .group_by(*(sa.text(str(i)) for i in range(1, len(keys) + 1)))
    )
    with reading(engine) as connection:
        return Traffic(
            pd.DataFrame(
                connection.execute(query).mappings().all(),
                columns=[c.name for c in (*keys, *figures)],
            )
        )


def came(engine: sa.Engine, task: str, version: str, found: Traffic, delay: float) -> Came:
    """What came of these decisions, in one pass: an outcome is late that arrived more than `delay` seconds after its decision."""
    if not found.rows:
        return Came(0, 0, 0, 0, 0.0, 0.0)
    own = sa.case((sa.and_(JUDGED, decisions.c.version == version), 1), else_=0)
    waited = sa.func.max(outcomes.c.arrival_time) - sa.func.max(decisions.c.time)
    each = sa.select(
        sa.func.max(own).label("own"),
        sa.func.sum(outcomes.c.value).label("worth"),
        waited.label("waited"),
    )
    each = (
        each.select_from(decisions.outerjoin(outcomes, outcomes.c.decision == decisions.c.id))
        .where(decisions.c.position.between(*found.positions), *of_task(task, *found.span))
        .group_by(decisions.c.position)
    )
    one = each.subquery()
    mine = sa.case((one.c.own == 1, one.c.worth))
    late = sa.case((sa.and_(one.c.worth.is_not(None), one.c.waited <= delay), 0), else_=1)
    sums = (
        sa.func.count(one.c.worth),
        sa.func.sum(late),
        sa.func.count(mine),
        sa.func.sum(mine),
        sa.func.sum(mine * mine),
    )
    with reading(engine) as connection:
        return Came(
            *(
                number or 0
                for number in connection.execute(
                    sa.select(sa.func.count(), *sums).select_from(one)
                ).one()
            )
        )


def sampled(engine: sa.Engine, task: str, found: Traffic, size: int = SAMPLE) -> pd.DataFrame:
    """About `size` of these decisions or all, evenly by position: the row as given, unit, version, score, action, propensity, time, judged (1 or 0), worth, arrival."""
    names = ("unit", "version", "score", "action", "propensity", "time")
    columns = ["row", *names, "judged", "worth", "arrival"]
    if not found.rows:
        return pd.DataFrame(columns=columns)
    first, last = found.positions
    there = last - first + 1  # decisions of other tasks among them
    places = np.unique(
        np.linspace(first, last, min(there, ceil(size * there / found.rows))).astype(np.int64)
    ).tolist()
    # what came of a decision is the sum of its outcomes, as the experiments count it
    summed = (
        sa.func.sum(outcomes.c.value).label("worth"),
        sa.func.max(outcomes.c.arrival_time).label("arrival"),
    )
    query = sa.select(
        decisions.c.row, *(decisions.c[name] for name in names), IS_JUDGED, *summed
    ).select_from(decisions.outerjoin(outcomes, outcomes.c.decision == decisions.c.id))
    query = (
        query.where(*of_task(task, *found.span), decisions.c.row.is_not(None))
        .group_by(decisions.c.position)
        .order_by(decisions.c.position)
    )
    rows: list[Any] = []
    with reading(engine) as connection:
        for some in chunks(places):
            rows.extend(connection.execute(query.where(decisions.c.position.in_(some))).mappings())
    return pd.DataFrame(rows, columns=columns)


def told(
    task: Any, rows: pd.DataFrame, actions: np.ndarray, worth: np.ndarray, classes: list[str]
) -> np.ndarray:
    """The class number that each decision's worth gives away, shape (n,); nan where several or none would have earned it.

    A frozen card earns the same whatever the customer would have done: what was decided hides the outcome.
    """
    if not classes or not len(rows):
        return np.full(len(rows), np.nan)
    names, money = payoffs(task, rows, classes)
    taken = pd.Index(names).get_indexer(pd.Index(actions))
    fits = (
        np.isclose(
            money[np.arange(len(rows)), taken],
            np.asarray(worth, dtype=float)[:, None],
            rtol=1e-6,
            atol=1e-9,
        )
        & (taken >= 0)[:, None]
    )
    return np.where(fits.sum(axis=1) == 1, fits.argmax(axis=1), np.nan)
