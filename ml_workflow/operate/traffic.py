"""Decisions of a window: summed in the database, and an even sample of them with what came of it."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from ..define import payoffs
from ..store.database import reading
from ..store.decisions import chunks
from ..store.schema import decisions, outcomes

HOUR = 3600
SAMPLE = 20_000  # decisions read; a drift that matters (PSI .02) stands out among them


class Traffic(NamedTuple):
    """Decisions of a task by hour and action, summed in one pass: columns hour, action, count, first and last position."""

    sums: pd.DataFrame

    def between(self, since: float, until: float) -> "Traffic":
        """The hours from `since` on, before `until`."""
        return Traffic(self.sums[self.sums["hour"].between(since // HOUR, until // HOUR, inclusive="left")])

    @property
    def rows(self) -> int:
        """How many decisions."""
        return int(self.sums["count"].sum())

    def empty_hours(self, since: float, until: float) -> list[int]:
        """The hours of the span without any decision, in hours since 1970."""
        return sorted(set(range(int(since // HOUR), int(until // HOUR))) - set(self.sums["hour"]))


def traffic(engine: sa.Engine, task: str, since: float, until: float) -> Traffic:
    """The decisions of a task by hour and action; seconds since 1970."""
    hour = sa.cast(sa.func.floor(decisions.c.time / HOUR), sa.Integer).label("hour")
    figures = (sa.func.count().label("count"), sa.func.min(decisions.c.position).label("first"), sa.func.max(decisions.c.position).label("last"))
    query = sa.select(hour, decisions.c.action, *figures).where(decisions.c.version.like(f"{task}/%"), decisions.c.time >= since, decisions.c.time < until)
    with reading(engine) as connection:
        return Traffic(pd.DataFrame(connection.execute(query.group_by(hour, decisions.c.action)).mappings().all(), columns=["hour", "action", "count", "first", "last"]))


def sampled(engine: sa.Engine, task: str, found: Traffic, size: int = SAMPLE) -> pd.DataFrame:
    """At most `size` of these decisions, evenly by position: the row as given, unit, version, score, action, propensity, time, worth, arrival."""
    names = ("unit", "version", "score", "action", "propensity", "time")
    kept = ("row", *names)
    if not found.rows:
        return pd.DataFrame(columns=[*kept, "worth", "arrival"])
    first, last = int(found.sums["first"].min()), int(found.sums["last"].max())
    places = np.unique(np.linspace(first, last, min(size, last - first + 1)).astype(np.int64)).tolist()
    # what came of a decision is the sum of its outcomes, as the experiments count it
    came = sa.select(outcomes.c.decision, sa.func.sum(outcomes.c.value).label("worth"), sa.func.max(outcomes.c.arrival_time).label("arrival"))
    rows: list[Any] = []
    with reading(engine) as connection:
        for some in chunks(places):
            asked = decisions.c.position.in_(some)
            own = came.where(outcomes.c.decision.in_(sa.select(decisions.c.id).where(asked))).group_by(outcomes.c.decision).subquery()
            query = sa.select(*(decisions.c[name] for name in kept), own.c.worth, own.c.arrival).select_from(decisions.outerjoin(own, own.c.decision == decisions.c.id))
            query = query.where(asked, decisions.c.version.like(f"{task}/%"), decisions.c.row.is_not(None)).order_by(decisions.c.position)
            rows.extend(connection.execute(query).mappings())
    frame = pd.DataFrame(rows, columns=[*kept, "worth", "arrival"])
    inside = (frame["time"] // HOUR).between(found.sums["hour"].min(), found.sums["hour"].max())
    return frame[inside].reset_index(drop=True)


def told(task: Any, rows: pd.DataFrame, actions: np.ndarray, worth: np.ndarray, classes: list[str]) -> np.ndarray:
    """The class number that each decision's worth gives away, shape (n,); nan where several or none would have earned it.

    A frozen card earns the same whatever the customer would have done: what was decided hides the outcome.
    """
    if not classes or not len(rows):
        return np.full(len(rows), np.nan)
    names, money = payoffs(task, rows, classes)
    taken = pd.Index(names).get_indexer(pd.Index(actions))
    fits = np.isclose(money[np.arange(len(rows)), taken], np.asarray(worth, dtype=float)[:, None], rtol=1e-6, atol=1e-9) & (taken >= 0)[:, None]
    return np.where(fits.sum(axis=1) == 1, fits.argmax(axis=1), np.nan)
