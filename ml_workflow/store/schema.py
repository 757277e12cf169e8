"""The tables of the decisions database; a change here needs a migration.

Times are seconds since 1970 (UTC).
"""

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()
JSON = sa.JSON(none_as_null=True)


def text(name: str, *more: Any, **options: Any) -> "sa.Column[str]":
    """A column of text that is always there, unless said otherwise."""
    return sa.Column(name, sa.String, *more, **{"nullable": False, **options})


def number(name: str, **options: Any) -> "sa.Column[float]":
    """A column of numbers that are always there, unless said otherwise."""
    return sa.Column(name, sa.Double, **{"nullable": False, **options})


experiments = sa.Table(
    "experiments",
    metadata,
    text("id", primary_key=True),
    text("task", nullable=True, index=True),
    text("inclusion_salt"),
    text("arm_salt"),
    sa.Column("phases", JSON, nullable=False),  # one entry a phase, the first is phase 1
    sa.Column("plan", JSON, nullable=False),
    sa.Column("shadow", sa.Boolean, nullable=False, default=False),
    number("killed", nullable=True),
    number("ended", nullable=True),
)
exposures = sa.Table(
    "exposures",
    metadata,
    text("experiment", sa.ForeignKey("experiments.id"), primary_key=True),
    text("unit", primary_key=True),
    text("arm_assigned"),
    text("arm_served"),
    sa.Column("phase", sa.Integer, nullable=False),
    number("time"),
)
requests = sa.Table(
    "requests",
    metadata,
    text("key", primary_key=True),
    text("body"),  # SHA-256
    number("time"),
)
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    text("id", unique=True),
    text("request", sa.ForeignKey("requests.key"), nullable=True, index=True),
    text("experiment", sa.ForeignKey("experiments.id"), nullable=True),
    text("arm", nullable=True),
    text("unit"),
    sa.Column("row", JSON),
    text("version"),
    sa.Column("score", JSON),
    text("action"),
    number("propensity", nullable=True),
    sa.Column("fallback", sa.Boolean, nullable=False, default=False),
    number("time"),
    sa.Index("ix_decisions_unit_time", "unit", "time"),
    sa.Index("ix_decisions_time", "time"),
)
outcomes = sa.Table(
    "outcomes",
    metadata,
    text("idempotency_key", primary_key=True),
    text("decision", sa.ForeignKey("decisions.id")),
    number("value"),
    number("event_time"),
    number("arrival_time"),
    sa.Index("ix_outcomes_decision", "decision", "value", "arrival_time"),
)
strays = sa.Table(
    "strays",
    metadata,
    text("idempotency_key", primary_key=True),
    text("decision", nullable=True, index=True),
    text("unit", nullable=True, index=True),
    number("value"),
    number("event_time"),
    number("arrival_time"),
)
