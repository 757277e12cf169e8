"""A champion of the penguins with a past: decisions of its holdout, played into a decisions database."""

from pathlib import Path

import pytest

from tests.conftest import workflow


@pytest.fixture(scope="session")
def served(env: dict[str, str], finished: Path) -> dict[str, str]:
    """The environment in which the finished run's release is champion."""
    done = workflow("promote", "penguins", "challenger", env=env)
    assert done.returncode == 0, done.stderr
    return env
