"""The tables of the decisions database; a change here needs a migration.

Times are seconds since 1970 (UTC).
"""

from functools import partial

import sqlalchemy as sa

metadata = sa.MetaData()
text = partial(sa.Column, type_=sa.String, nullable=False)
number = partial(sa.Column, type_=sa.Double, nullable=False)
json = partial(sa.Column, type_=sa.JSON(none_as_null=True), nullable=False)
boolean = partial(sa.Column, type_=sa.Boolean, nullable=False, default=False)

experiments = sa.Table(
    "experiments",
    metadata,
    text("id", primary_key=True),
    text("task", nullable=True, index=True),
    text("inclusion_salt"),
    text("arm_salt"),
    json("phases"),  # one entry a phase, the first is phase 1
    json("plan"),
    boolean("shadow"),
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
    json("row", nullable=True),
    text("version"),
    json("score", nullable=True),
    text("action"),
    number("propensity", nullable=True),
    boolean("fallback"),
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
