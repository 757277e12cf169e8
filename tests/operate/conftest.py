"""A project whose champion is the finished run's release, and a decisions database."""

from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

import pandas as pd
import pytest
import sqlalchemy as sa

from ml_workflow.model.registry import champion, promote
from ml_workflow.model.release import Release
from ml_workflow.operate.simulate import MONTH, Scenario, play
from ml_workflow.store.database import open_decisions
from tests.conftest import called, copy_of_the_project, surroundings, within
from tests.serve.conftest import register_run

SCENARIO = Scenario(pd.DataFrame(), months=2, decisions=1500)
NOW = SCENARIO.begin + 2 * MONTH


class Live(NamedTuple):
    """What serves, what it decided, and rows that it never saw."""

    project: Path
    env: dict[str, str]
    url: str
    engine: sa.Engine
    version: str
    release: Release
    table: pd.DataFrame

    def play(self, scenario: Scenario, first: int = 0) -> None:
        """Decide the months of a scenario from the first one on, on rows of the table."""
        for month in range(first, scenario.months):
            month_of = scenario._replace(table=self.table)
            play(self.engine, self.version, self.release, month_of, month)

    def called(self, *words: str) -> CompletedProcess[str]:
        """A command for the penguins with this decisions database."""
        command, *more = words
        options = ("--database", self.url, *more)
        return called(command, "penguins", *options, env=self.env, cwd=self.project)


@pytest.fixture
def live(finished: Path, tmp_path: Path) -> Iterator[Live]:
    """A project of its own in which version 1 of the penguins serves."""
    project = copy_of_the_project(tmp_path / "project")
    env = surroundings(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / finished.name).symlink_to(finished)
    with within(project, env):
        promote("penguins", register_run(finished, "penguins"))
        url = f"sqlite:///{tmp_path}/decisions.db"
        table = pd.read_parquet(finished / "files" / "holdout.parquet")
        yield Live(project, env, url, open_decisions(url), *champion("penguins"), table)
