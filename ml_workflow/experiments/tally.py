"""What is counted of an experiment, where its rows are: only sums by arm, phase and day come back.

One description in SQLAlchemy gives the SQL of SQLite, PostgreSQL and DuckDB.
"""

from dataclasses import dataclass, fields
from functools import reduce
from operator import mul
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import sqlalchemy as sa

from ..errors import Refusal
from ..statistics.delay import Delay, delay_window, slowest
from ..statistics.sums import Sums
from .evidence import ONE, ZERO, Evidence
from .plan import ARMS, DAY

HOUR = 3600.0
FEW = 30
"""Outcomes an arm below which their delays tell nothing."""
DRAWN = 20_000
"""Delays an arm that stand for all."""
PRODUCTS = ("y", "yy", "yyy", "x", "xx", "xy")
RATIO_PRODUCTS = ("d", "dd", "yd", "xd")
SAME = {"units": "exposed", "d": "exposed", "dd": "exposed", "yd": "y", "xd": "x"}
"""Sums that are another one where each row is a unit of one decision."""
Expression: TypeAlias = sa.ColumnElement[Any]


@dataclass(frozen=True)
class Tally:
    """What was counted of an experiment.

    `sums` has a row an arm, phase and day of exposure, as `sum_by_day` gives it; `delays` are those
    of `outcome_delays`.
    """

    evidence: Evidence
    sums: pd.DataFrame
    delays: pd.DataFrame
    window: float  # seconds an outcome is waited for
    is_declared: bool = True  # whether task or table say how long, not the delays themselves

    @property
    def by_arm(self) -> pd.DataFrame:
        """The sums over all phases and days, a row an arm."""
        return self.sums.groupby("arm").sum()

    @property
    def totals(self) -> list[Sums]:
        """The sums of (current, release) over all phases and days."""
        return totals_in(self.sums)


def count_evidence(evidence: Evidence, delay: float) -> Tally:
    """The tally of an experiment; `delay` is how many seconds outcomes take, 0 where none is said.

    Then outcomes are waited for as long as almost all have taken so far.
    """
    delays = outcome_delays(evidence)
    if evidence.is_final or delay > 0:
        window = 0.0 if evidence.is_final else delay
        return Tally(evidence, sum_by_day(evidence, window), delays, window)
    longest = slowest_delay(delays, 0.999)
    window = HOUR * (1 + (longest.window if longest else 0))
    return Tally(evidence, sum_by_day(evidence, window), delays, window, is_declared=False)


def sum_by_day(
    evidence: Evidence, window: float, metric: str = "value", segment: str | None = None
) -> pd.DataFrame:
    """Sums over units by arm, phase, day of exposure (and segment): of `Sums`, and for health.

    window, in seconds, is how long an outcome is waited for: units decided later than that before
    now are not counted yet, outcomes that arrived later than that after the decision never are, and
    a unit without an outcome earned 0. Raises Refusal where there are no two arms to compare.
    """
    keys = ["arm", "phase", "day", *([segment] if segment else [])]
    is_plain = evidence.is_final and not evidence.is_repeated
    units = _rows(evidence, metric) if is_plain else _units(evidence, window, metric, segment)
    if segment:
        units = units.add_columns(evidence.rows.c[segment])
    u, total, rows = units.subquery().c, sa.func.sum, sa.func.count()
    sums = {name: _sum_of_product(u, name) for name in PRODUCTS}
    sums |= {
        "exposed": rows,
        "absolute": total(sa.func.abs(u.y)),
        "largest": sa.func.max(sa.func.abs(u.y)),
    }
    if is_plain:
        sums |= {"broken": rows - sa.func.count(u.y), "uncovered": rows - sa.func.count(u.x)}
    else:
        sums |= {name: _sum_of_product(u, name) for name in RATIO_PRODUCTS}
        sums |= {fault: total(u[fault]) for fault in ("silent", "early", "broken", "uncovered")}
        sums["units"] = total(_where(u.d > 0, ONE))
    columns = [u[key] for key in keys]
    labelled = [expression.label(name) for name, expression in sums.items()]
    table = _with_our_arms(evidence, sa.select(*columns, *labelled).group_by(*columns)).fillna(0.0)
    if is_plain:
        table = table.assign(**{name: table[other] for name, other in SAME.items()})
        table = table.assign(silent=0.0, early=0.0)
    _check_arms(evidence.name, table.groupby("arm")["exposed"].sum())
    numbers = table.columns.difference(["arm", segment])
    return table.astype(dict.fromkeys(numbers, float)).sort_values(keys, ignore_index=True)


def _sum_of_product(u: Any, factors: str) -> Expression:
    """The sum that is named by its factors, such as xy."""
    return sa.func.sum(reduce(mul, [u[factor] for factor in factors]))


def _rows(evidence: Evidence, metric: str) -> sa.Select[Any]:
    """The rows as units, each of one decision; what is no finite number is NULL."""
    r = evidence.rows.c
    day = sa.func.floor(r.exposed / DAY).label("day")
    y, x = _finite(r[metric]).label("y"), _finite(r.covariate).label("x")
    return sa.select(r.arm, r.phase, day, y, x)


def _units(evidence: Evidence, window: float, metric: str, segment: str | None) -> sa.Select[Any]:
    """One row a unit: how many decisions count, their worth, its covariate, and its faults."""
    r = evidence.rows.c
    y, is_ripe = r[metric], r.decided <= evidence.now - window
    # What comes of a decision has one row for each outcome, its other metrics one row that weighs.
    is_worth = metric == "value"
    has_come = [r.arrived <= r.decided + window] if is_worth else []
    finite, covariate = _finite(y), _finite(r.covariate)
    answered, amount = sa.and_(is_ripe, *has_come), y if is_worth else y * r.weight
    over_rows: list[Any] = [sa.func.sum, sa.func.max, sa.func.min]
    total, most, first = over_rows if evidence.is_repeated else [_alone] * 3
    d = total(_where(is_ripe, r.weight))
    parts = {
        "phase": first(r.phase),
        "day": sa.func.floor(first(r.exposed) / DAY),
        "d": d,
        "y": total(_where(sa.and_(answered, finite.is_not(None)), amount)),
        "x": _where(d > 0, total(sa.func.coalesce(covariate, ZERO) * r.weight) / total(r.weight)),
        "silent": _where(d > 0, 1 - most(_where(answered, ONE))),
        "early": most(_where(r.happened < r.exposed, ONE)),
        "broken": most(_where(sa.and_(finite.is_(None), *has_come), ONE)),
        "uncovered": most(_where(covariate.is_(None), ONE)),
    }
    units = sa.select(r.arm, *(part.label(name) for name, part in parts.items()))
    keys = [r.unit, r.arm, *([r[segment]] if segment else [])]
    return units.group_by(*keys) if evidence.is_repeated else units


def _alone(expression: Expression) -> Expression:
    """What a sum, a maximum or a minimum over one row is."""
    return expression


def _where(condition: Expression, expression: Expression) -> Expression:
    """The expression where the condition holds, else 0."""
    return sa.case((condition, expression), else_=ZERO)


def _finite(number: Expression) -> Expression:
    """The number, or NULL for what is none; NaN is larger than all of them, or NULL."""
    return sa.case((sa.func.abs(number) < 1e300, number))


def totals_in(sums: pd.DataFrame) -> list[Sums]:
    """The sums of (current, release) over a table by arm, phase and day."""
    names = [field.name for field in fields(Sums)]
    by_arm = sums.groupby("arm")[names].sum().reindex(ARMS, fill_value=0.0)
    return [Sums(*row) for row in by_arm.to_numpy().tolist()]


def outcome_delays(evidence: Evidence) -> pd.DataFrame:
    """How many outcomes took how long; none of a table whose outcomes are final.

    Columns arm, age (decision until now) and delay in whole hours, count.
    """
    if evidence.is_final:
        return pd.DataFrame(columns=["arm", "age", "delay", "count"])
    r = evidence.rows.c
    age, delay = (sa.func.floor((end - r.decided) / HOUR) for end in (evidence.now, r.arrived))
    columns = [r.arm, age.label("age"), delay.label("delay")]
    query = sa.select(*columns, sa.func.count().label("count")).group_by(*columns)
    return _with_our_arms(evidence, query.where(r.arrived.between(r.decided, evidence.now)))


def slowest_delay(delays: pd.DataFrame, share: float) -> Delay | None:
    """The window, in hours, in which that share of outcomes of the slower arm arrives.

    None where outcomes are few.
    """
    windows = []
    for arm in ARMS:
        part = delays[delays["arm"] == arm]
        total = int(part["count"].sum())
        if total < FEW:
            return None
        times = np.ceil(part["count"].to_numpy(float) * min(1, DRAWN / total)).astype(int)
        delay, age = (np.repeat(part[name].to_numpy(float), times) for name in ("delay", "age"))
        windows.append(delay_window(delay, age, share=share))
    return slowest(windows)


def _with_our_arms(evidence: Evidence, query: sa.Select[Any]) -> pd.DataFrame:
    """What the query gives, arms by our names."""
    table = evidence.ask(query)
    return table.assign(arm=table["arm"].astype(str).replace(evidence.arms))


def _check_arms(name: str, counts: "pd.Series[float]") -> None:
    """Refuse units by arm that cannot be compared."""
    if counts.empty:
        raise Refusal(
            f"Experiment {name} has no exposures: let the API answer /decide while it runs, or "
            "correct `experiment` and `evidence`."
        )
    if foreign := [arm for arm in counts.index if arm not in ARMS]:
        raise Refusal(
            f"Experiment {name} has the arm {foreign[0]!r} ({int(counts[foreign[0]]):,} units): "
            "arms are current and release; name them by `mapping`, such as A=current,B=release."
        )
    if missing := [arm for arm in ARMS if arm not in counts]:
        raise Refusal(
            f"Experiment {name}: the arm {missing[0]} is empty, {counts.index[0]} has "
            f"{int(counts.iloc[0]):,} units: look at the weights, or wait until both arms have "
            "units."
        )
