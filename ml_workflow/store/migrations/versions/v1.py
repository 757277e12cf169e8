"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "v1"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=True),
        sa.Column("inclusion_salt", sa.String(), nullable=False),
        sa.Column("arm_salt", sa.String(), nullable=False),
        sa.Column("phases", sa.JSON(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("shadow", sa.Boolean(), nullable=False),
        sa.Column("killed", sa.Double(), nullable=True),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_experiments_task"), "experiments", ["task"], unique=False)
    op.create_table(
        "requests",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "strays",
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=True),
        sa.Column("unit", sa.String(), nullable=True),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("event_time", sa.Double(), nullable=False),
        sa.Column("arrival_time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("idempotency_key"),
    )
    op.create_index(op.f("ix_strays_decision"), "strays", ["decision"], unique=False)
    op.create_index(op.f("ix_strays_unit"), "strays", ["unit"], unique=False)
    op.create_table(
        "decisions",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("request", sa.String(), nullable=True),
        sa.Column("experiment", sa.String(), nullable=True),
        sa.Column("arm", sa.String(), nullable=True),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("row", sa.JSON(), nullable=True),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("score", sa.JSON(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("propensity", sa.Double(), nullable=True),
        sa.Column("fallback", sa.Boolean(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment"],
            ["experiments.id"],
        ),
        sa.ForeignKeyConstraint(
            ["request"],
            ["requests.key"],
        ),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
    )
    op.create_index(op.f("ix_decisions_request"), "decisions", ["request"], unique=False)
    op.create_index("ix_decisions_unit_time", "decisions", ["unit", "time"], unique=False)
    op.create_table(
        "exposures",
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("arm_assigned", sa.String(), nullable=False),
        sa.Column("arm_served", sa.String(), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment"],
            ["experiments.id"],
        ),
        sa.PrimaryKeyConstraint("experiment", "unit"),
    )
    op.create_table(
        "outcomes",
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("event_time", sa.Double(), nullable=False),
        sa.Column("arrival_time", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision"],
            ["decisions.id"],
        ),
        sa.PrimaryKeyConstraint("idempotency_key"),
    )
    op.create_index(op.f("ix_outcomes_decision"), "outcomes", ["decision"], unique=False)
