"""A project of its own whose registry holds the finished run's release as champion, and the API over it."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI

from ml_workflow.model.registry import promote, register
from ml_workflow.model.release import contents, digest_of
from ml_workflow.serve.app import application
from ml_workflow.serve.keys import keys_from
from ml_workflow.serve.reload import Live
from tests.conftest import ROOT, surroundings

ADMIN = "secret-of-the-admin"
KEYS = f"boss:admin:{ADMIN} shop:predict:secret-of-the-shop books:outcomes:secret-of-the-books"


class Home(NamedTuple):
    """A project: its folder, its environment, the run whose release is champion, and what is live."""

    folder: Path
    env: dict[str, str]
    run: Path
    live: Live


@pytest.fixture(scope="session")
def home(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A project that serves the penguins."""
    return home_of(finished, "penguins", tmp_path_factory.mktemp("home"))


def home_of(run: Path, task: str, folder: Path) -> Home:
    """A project whose champion is a run's release."""
    shutil.copy(ROOT / "settings.ini", folder)
    env = surroundings(folder) | {
        "PYTHONPATH": str(ROOT),
        "ML_WORKFLOW_DATABASE": f"sqlite:///{folder}/decisions.db",
    }
    release = run / "files" / "release"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("ML_WORKFLOW_REPORTS", "MLFLOW_TRACKING_URI"):
            patch.setenv(name, env[name])
        register(
            task, release, digest_of(contents(release)), {}, {"log_loss": 0.25}, {"run": run.name}
        )
        promote(task, "challenger")
        live = Live(task, env["ML_WORKFLOW_DATABASE"])
    return Home(folder, env, run, live)


@pytest.fixture
def api(home: Home) -> FastAPI:
    """The API without keys."""
    return application(home.live, [])


@pytest.fixture
def guarded(home: Home) -> FastAPI:
    """The API with keys."""
    return application(home.live, keys_from(KEYS))


@pytest.fixture
def row(home: Home) -> dict[str, Any]:
    """A sound row."""
    return {
        "island": "Biscoe",
        "bill_length_mm": 40.1,
        "bill_depth_mm": 18,
        "flipper_length_mm": 190,
        "body_mass_g": None,
        "sex": "male",
        "year": 2008,
    }
