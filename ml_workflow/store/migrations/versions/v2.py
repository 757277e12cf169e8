"""Decisions of a span of time, and what came of them, are summed without reading all others."""

from alembic import op

revision = "v2"
down_revision = "v1"


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_decisions_time", "decisions", ["time"])
    op.drop_index("ix_outcomes_decision", "outcomes")
    op.create_index("ix_outcomes_decision", "outcomes", ["decision", "value", "arrival_time"])
