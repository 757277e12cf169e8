"""A decisions database of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ml_workflow.store.database import open_decisions


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new, empty database."""
    return (
        f"sqlite:///{tmp_path}/decisions.db"
        if request.param == "sqlite"
        else str(request.getfixturevalue("postgres")())
    )


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    """That database with its tables."""
    engine = open_decisions(url)
    yield engine
    engine.dispose()
