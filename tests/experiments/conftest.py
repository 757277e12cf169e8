"""The places that evidence comes from."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from ml_workflow.experiments.evidence import Evidence
from ml_workflow.experiments.opening import open_evidence
from ml_workflow.experiments.plan import Plan
from ml_workflow.store.database import open_decisions
from ml_workflow.task.definition import Task
from ml_workflow.task.file import read_task, task_path
from tests.conftest import new_database
from tests.experiments.traffic import ABTEST, NOW, traffic, write

Store = Callable[..., Evidence]


@pytest.fixture
def task() -> Task:
    """The penguins."""
    return read_task(task_path("penguins"))


def fill(url: str, frame: pd.DataFrame) -> str:
    """Make the tables and write a frame into them."""
    engine = open_decisions(url)
    write(engine, frame, Plan(metric="money", units=4_000))
    engine.dispose()
    return url


@pytest.fixture(params=["sqlite", "postgresql", "csv", "parquet"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A function that keeps a frame in one of the places evidence comes from, and opens it."""

    def keep(frame: pd.DataFrame) -> Evidence:
        if request.param in ("sqlite", "postgresql"):
            url = fill(new_database(request, request.param), frame)
            return open_evidence(url, ABTEST, now=NOW)
        path = tmp_path / f"evidence.{request.param}"
        frame = frame.rename(columns={"value": "revenue", "unit": "user"})
        frame["action act"] = (frame["action"] == "act").astype(float)
        frame.to_csv(path, index=False) if request.param == "csv" else frame.to_parquet(path)
        return open_evidence(str(path), ABTEST, mapping="revenue=value, user=unit", now=NOW)

    return keep


@pytest.fixture
def url(url: str) -> str:
    """A decisions database with an experiment of 200 units."""
    return fill(url, traffic(200))


@pytest.fixture
def change(url: str) -> Callable[[str], None]:
    """A function that changes that database behind the experiment's back."""

    def run(statement: str) -> None:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text(statement))
        engine.dispose()

    return run
