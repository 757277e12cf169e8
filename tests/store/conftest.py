"""A decisions database of each kind, and what is written to it."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from ml_workflow.store.database import open_decisions
from ml_workflow.store.decisions import Decision, Exposure, Request
from ml_workflow.store.experiments import Experiment, add_experiment
from ml_workflow.store.schema import decisions, experiments


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    """That database with its tables."""
    engine = open_decisions(url)
    yield engine
    engine.dispose()


def decided(unit: str = "u", **more: Any) -> Decision:
    """A decision for a unit."""
    plain = {"row": {"a": 0.1 + 0.2, "b": None}, "version": "3", "score": [0.1, 0.9]}
    return Decision(unit, **{**plain, "action": "act", "time": 10.0, **more})


def request(*units: str, key: str = "", body: str = "body") -> Request:
    """A request for decisions of these units."""
    return Request([decided(unit) for unit in units], key, body)


def exposed(engine: sa.Engine, *units: str, arm: str = "new") -> list[Exposure]:
    """Exposures of units in the experiment `e`, which is there or added."""
    if not count(engine, experiments):
        add_experiment(engine, Experiment("e", "credit", "in", "arm", [], {}))
    return [Exposure("e", unit, arm, arm, 1, 1.0) for unit in units]


def count(engine: sa.Engine, table: sa.Table = decisions) -> int:
    """How many rows a table has."""
    with engine.connect() as connection:
        query = sa.select(sa.func.count()).select_from(table)
        return connection.execute(query).scalar_one()
