"""The decisions database: who was exposed to which arm, what was decided, and what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

metadata = sa.MetaData()

experiments = sa.Table(
    "experiments", metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("inclusion_salt", sa.String, nullable=False),
    sa.Column("arm_salt", sa.String, nullable=False),
    sa.Column("phases", sa.JSON, nullable=False),
    sa.Column("plan", sa.JSON, nullable=False),
)  # fmt: skip
exposures = sa.Table(
    "exposures", metadata,
    sa.Column("experiment", sa.String, sa.ForeignKey("experiments.id"), primary_key=True),
    sa.Column("unit", sa.String, primary_key=True),
    sa.Column("arm_assigned", sa.String, nullable=False),
    sa.Column("arm_served", sa.String, nullable=False),
    sa.Column("phase", sa.Integer, nullable=False),
    sa.Column("time", sa.Float, nullable=False),
)  # fmt: skip
decisions = sa.Table(
    "decisions", metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("unit", sa.String, nullable=False, index=True),
    sa.Column("row", sa.JSON),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("score", sa.JSON),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("propensity", sa.Float),
    sa.Column("fallback", sa.Boolean, nullable=False, default=False),
    sa.Column("time", sa.Float, nullable=False),
)  # fmt: skip
outcomes = sa.Table(
    "outcomes", metadata,
    sa.Column("decision", sa.String, sa.ForeignKey("decisions.id"), primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("event_time", sa.Float, nullable=False),
    sa.Column("arrival_time", sa.Float, nullable=False),
    sa.Column("idempotency_key", sa.String, unique=True),
)  # fmt: skip

SUMMARY = """
SELECT e.arm_assigned AS arm, COUNT(*) AS units, SUM(v.worth) AS y, SUM(v.worth * v.worth) AS yy
FROM exposures e
JOIN (SELECT d.unit, SUM(o.value) AS worth FROM decisions d JOIN outcomes o ON o.decision = d.id GROUP BY d.unit) v
  ON v.unit = e.unit
WHERE e.experiment = :experiment
GROUP BY e.arm_assigned
"""


def create(path: Path) -> sa.Engine:
    """A new, empty decisions database in a SQLite file; a file that stands there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    engine = sa.create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    return engine


def insert(engine: sa.Engine, rows: Mapping[str, pd.DataFrame]) -> None:
    """Insert rows of several tables, all or none."""
    with engine.begin() as connection:
        for name, frame in rows.items():
            connection.execute(metadata.tables[name].insert(), [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")])


def summary(engine: sa.Engine, experiment: str) -> dict[str, dict[str, Any]]:
    """For each arm: units, and the sum and the sum of squares of what their decisions were worth, in one pass."""
    with engine.connect() as connection:
        rows = connection.execute(sa.text(SUMMARY), {"experiment": experiment}).mappings().all()
    return {row["arm"]: {key: float(row[key]) for key in ("units", "y", "yy")} for row in rows}
