"""A project whose champion is the finished run's release, and a decisions database."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import sqlalchemy as sa

from ml_workflow.model.registry import champion, promote, register
from ml_workflow.model.release import Release, contents, digest_of
from ml_workflow.store.database import open_decisions
from tests.conftest import copy_of_the_project, surroundings


class Live(NamedTuple):
    """What serves, what it decided, and rows that it never saw."""

    project: Path
    env: dict[str, str]
    url: str
    engine: sa.Engine
    version: str
    release: Release
    table: pd.DataFrame


@pytest.fixture
def live(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Live:
    """A project of its own in which version 1 of the penguins serves."""
    project = copy_of_the_project(tmp_path / "project")
    env = surroundings(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / finished.name).symlink_to(finished)
    monkeypatch.chdir(project)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    release = finished / "files" / "release"
    register(
        "penguins",
        release,
        digest_of(contents(release)),
        {},
        {"log_loss": 0.25},
        {"run": finished.name},
    )
    promote("penguins", "1")
    url = f"sqlite:///{tmp_path}/decisions.db"
    version, loaded = champion("penguins")
    return Live(
        project,
        env,
        url,
        open_decisions(url),
        version,
        loaded,
        pd.read_parquet(finished / "files" / "holdout.parquet"),
    )
