"""The evidence of an A/B test: rows of a decisions database or of a table, left where they are."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import pandas as pd
import sqlalchemy as sa

from ..task.definition import ABTest
from .plan import Plan

Ask: TypeAlias = Callable[[sa.Select[Any]], pd.DataFrame]
# Doubles, because DuckDB adds up decimals several times slower.
ONE, ZERO = sa.cast(1, sa.Double), sa.cast(0, sa.Double)
PROBED = 250_000
"""Rows up to which all units of a table are looked at for repetition, else an even share."""


class Phase(NamedTuple):
    """A time in which the arms had the same weights and metric."""

    weights: dict[str, float]  # share by arm
    metric: str | None = None  # what was measured, as the experiment says


@dataclass(frozen=True)
class Evidence:
    """Rows, one a decision, and what is known of the experiment. Times are seconds since 1970.

    Columns of `rows`: unit, arm, phase, exposed, decided, happened, arrived, value, covariate,
    weight, and each guardrail and segment of `abtest`. A decision with several outcomes has a row
    for each, of which one has weight 1.
    """

    name: str  # the experiment
    rows: sa.FromClause
    ask: Ask  # runs a query where the rows are
    now: float  # up to which is counted
    phases: list[Phase]  # the first is phase 1
    abtest: ABTest  # what is read beside the worth
    plan: Plan = field(default_factory=Plan)
    is_changed: bool = False  # whether plan, salts or weights are no longer those it began with
    is_shadow: bool = False  # whether the current process is served in both arms
    is_final: bool = False  # whether outcomes are waited for no longer
    arms: dict[str, str] = field(default_factory=dict)  # a table's names of arms, each with ours
    strays: int = 0  # outcomes for units or decisions that nobody knows
    is_repeated: bool = True  # whether a unit can have several rows
    doubled: int = 0  # units with the same row more than once
    crossed: int = 0  # units in more than one arm


def with_repetition(evidence: Evidence, has_keys: bool) -> Evidence:
    """The evidence with what is known of units that have several rows.

    Where the rows `has_keys`, as in a decisions database, none can stand there twice.
    """
    r = evidence.rows.c
    is_double = sa.func.count() > sa.func.count(sa.distinct(r.happened))
    is_crossed = sa.func.min(r.arm) != sa.func.max(r.arm)
    units = sa.select(
        sa.case((sa.false() if has_keys else is_double, 1), else_=0).label("doubled"),
        sa.case((is_crossed, 1), else_=0).label("crossed"),
    ).where(r.unit.is_not(None))
    every = 1
    if not has_keys:
        count = sa.select(sa.func.count().label("rows")).select_from(evidence.rows)
        every = max(1, int(evidence.ask(count)["rows"][0]) // PROBED)
    if every > 1:  # DuckDB's hash: an even share of the units, with all their rows
        units = units.where(sa.func.hash(r.unit) % every == 0)
    u = units.group_by(r.unit).having(sa.func.count() > 1).subquery().c
    sums = [sa.func.count(), sa.func.sum(u.doubled), sa.func.sum(u.crossed)]
    several, doubled, crossed = evidence.ask(sa.select(*sums)).fillna(0).iloc[0].astype(int) * every
    return replace(evidence, is_repeated=several > 0, doubled=doubled, crossed=crossed)
