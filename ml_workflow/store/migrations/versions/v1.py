"""The first tables."""

from functools import partial

import sqlalchemy as sa
from alembic import op

revision = "v1"
down_revision = None

text = partial(sa.Column, type_=sa.String, nullable=False)
number = partial(sa.Column, type_=sa.Double, nullable=False)
json = partial(sa.Column, type_=sa.JSON, nullable=False)
boolean = partial(sa.Column, type_=sa.Boolean, nullable=False)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "experiments",
        text("id", primary_key=True),
        text("task", nullable=True, index=True),
        text("inclusion_salt"),
        text("arm_salt"),
        json("phases"),
        json("plan"),
        boolean("shadow"),
        number("killed", nullable=True),
        number("ended", nullable=True),
    )
    op.create_table("requests", text("key", primary_key=True), text("body"), number("time"))
    op.create_table(
        "strays",
        text("idempotency_key", primary_key=True),
        text("decision", nullable=True, index=True),
        text("unit", nullable=True, index=True),
        number("value"),
        number("event_time"),
        number("arrival_time"),
    )
    whole = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "decisions",
        sa.Column("position", whole, primary_key=True),
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
    )
    op.create_index("ix_decisions_unit_time", "decisions", ["unit", "time"])
    op.create_table(
        "exposures",
        text("experiment", sa.ForeignKey("experiments.id"), primary_key=True),
        text("unit", primary_key=True),
        text("arm_assigned"),
        text("arm_served"),
        sa.Column("phase", sa.Integer, nullable=False),
        number("time"),
    )
    op.create_table(
        "outcomes",
        text("idempotency_key", primary_key=True),
        text("decision", sa.ForeignKey("decisions.id"), index=True),
        number("value"),
        number("event_time"),
        number("arrival_time"),
    )
