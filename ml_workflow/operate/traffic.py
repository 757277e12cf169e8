"""The decisions of a window: summed in the database, and an even sample with their values."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from ..data.columns import numbers_in
from ..data.contract import Contract
from ..store.database import reading
from ..store.decisions import chunks
from ..store.schema import decisions, outcomes

HOUR = 3600
SAMPLE = 20_000  # decisions read; a drift that matters (PSI .02) stands out among them
BY_SCORE = sa.and_(
    decisions.c.score.is_not(None),
    sa.not_(sa.cast(decisions.c.score, sa.String).startswith("{")),
    sa.func.coalesce(decisions.c.propensity, 1) > 0.5,
)
"""What a release decided by its score.

Neither the current process, alone or with a release in its shadow, nor chance.
"""
WITH_OUTCOMES = decisions.outerjoin(outcomes)


class OutcomeSums(NamedTuple):
    """Sums over decisions: how many, with an outcome, with none or a late one.

    And of a version's own with an outcome: how many, the sum of their values in the currency, and
    of the squares of these.
    """

    decisions: int = 0
    known: int = 0
    late: int = 0
    own: int = 0
    value: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """What a decision of the version earned."""
        return self.value / self.own

    @property
    def deviation(self) -> float:
        """The standard deviation of what its decisions earned."""
        variance = self.squares / self.own - self.mean**2
        return float(np.sqrt(max(variance, 0) * self.own / (self.own - 1)))


@dataclass(frozen=True)
class Traffic:
    """Decisions of the task of a version (TASK/NUMBER) in a database, summed by hour.

    From the full hour `since` on, before `until`, in seconds since 1970. Columns of `sums`: hour
    (when it begins), action ("" where decisions are numbers), own (1 where the version decided by
    its score, else 0), count, first and last position.
    """

    engine: sa.Engine
    version: str
    since: float
    until: float
    sums: pd.DataFrame

    def between(self, since: float, until: float) -> "Traffic":
        """The part from the full hour `since` on, before `until`."""
        hours = self.sums["hour"].between(since, until, inclusive="left")
        return replace(self, since=since, until=until, sums=self.sums[hours])

    @property
    def decisions(self) -> int:
        """How many decisions."""
        return int(self.sums["count"].sum())

    @property
    def positions(self) -> tuple[int, int]:
        """The first and last position; 0 and -1 where there is no decision."""
        return min(self.sums["first"], default=0), max(self.sums["last"], default=-1)

    @property
    def conditions(self) -> list[Any]:
        """What a query asks of decisions so that it finds these."""
        task = self.version.rpartition("/")[0]
        return [
            decisions.c.version.startswith(f"{task}/", autoescape=True),
            decisions.c.time >= self.since,
            decisions.c.time < self.until,
        ]

    @property
    def own(self) -> "sa.Case[Any]":
        """1 for what the version decided by its score, else 0."""
        return sa.case((sa.and_(BY_SCORE, decisions.c.version == self.version), 1), else_=0)

    @property
    def by_hour(self) -> "pd.Series[int]":
        """How many decisions in each hour from the first with any to the last but one."""
        counts = self.sums.groupby("hour")["count"].sum()
        hours = range(int(counts.index.min()), int(self.until) - HOUR, HOUR)
        return counts.reindex(hours, fill_value=0)

    def actions(self) -> "pd.Series[int]":
        """How often the version decided for each action by its score."""
        return self.sums[self.sums["own"] == 1].groupby("action")["count"].sum()

    def outcome_sums(self, delay: float) -> OutcomeSums:
        """What came of these decisions, in one pass.

        An outcome is late that arrived more than `delay` seconds after its decision.
        """
        count, total, greatest = sa.func.count, sa.func.sum, sa.func.max
        waited = greatest(outcomes.c.arrival_time) - greatest(decisions.c.time)
        each = (
            sa.select(
                greatest(self.own).label("own"),
                total(outcomes.c.value).label("value"),
                waited.label("waited"),
            )
            .select_from(WITH_OUTCOMES)
            .where(decisions.c.position.between(*self.positions), *self.conditions)
            .group_by(decisions.c.position)
            .subquery()
        )
        own = sa.case((each.c.own == 1, each.c.value))
        late = sa.case((each.c.waited <= delay, 0), else_=1)
        sums = [count(), count(each.c.value), total(late), count(own), total(own), total(own * own)]
        with reading(self.engine) as connection:
            row = connection.execute(sa.select(*sums).select_from(each)).one()
        return OutcomeSums(*(number or 0 for number in row))

    def sample(self, size: int = SAMPLE) -> pd.DataFrame:
        """About `size` of these decisions, or all, evenly by position and in its order.

        Columns: row (as given), unit, version, score, action, propensity, own (1 or 0), and value,
        the sum of its outcomes as experiments count it, missing where none has come.
        """
        names = ["row", "unit", "version", "score", "action", "propensity"]
        value = sa.func.sum(outcomes.c.value)
        query = (
            sa.select(*(decisions.c[name] for name in names), self.own, value)
            .select_from(WITH_OUTCOMES)
            .where(*self.conditions, decisions.c.row.is_not(None))
            .group_by(decisions.c.position)
            .order_by(decisions.c.position)
        )
        first, last = self.positions
        there = last - first + 1  # decisions of other tasks among them
        count = min(there, ceil(size * there / max(self.decisions, 1)))
        places = np.unique(np.linspace(first, last, count).astype(np.int64)).tolist()
        with reading(self.engine) as connection:
            rows = [
                row
                for some in chunks(places)
                for row in connection.execute(query.where(decisions.c.position.in_(some)))
            ]
        return pd.DataFrame(rows, columns=[*names, "own", "value"])


def traffic_of(
    engine: sa.Engine, version: str, since: float, until: float, by_action: bool = False
) -> Traffic:
    """The decisions of a version's task by hour, in one pass; by action too where these are few."""
    traffic = Traffic(engine, version, since, until, pd.DataFrame())
    first_second = (sa.cast(sa.func.floor(decisions.c.time / HOUR), sa.Integer) * HOUR).label(
        "hour"
    )
    action = (decisions.c.action if by_action else sa.literal_column("''")).label("action")
    query = sa.select(
        first_second,
        action,
        traffic.own.label("own"),
        sa.func.count().label("count"),
        sa.func.min(decisions.c.position).label("first"),
        sa.func.max(decisions.c.position).label("last"),
    )
    query = query.where(*traffic.conditions).group_by(sa.text("1, 2, 3"))
    with reading(engine) as connection:
        return replace(traffic, sums=pd.read_sql(query, connection))


def rows_as_given(contract: Contract, sample: pd.DataFrame) -> pd.DataFrame:
    """The rows of decisions, typed as the contract says where they can be.

    Its columns come first; those that never came are missing.
    """
    rows = pd.DataFrame(list(sample["row"]))
    others = rows.columns.difference(list(contract), sort=False)
    rows = contract.typed(rows.reindex(columns=[*contract, *others]))
    return rows.assign(**{name: numbers_in(rows[name]) for name in contract.numeric})
