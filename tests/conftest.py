"""What several tests need: the command line as a process, copies of the project, and one finished run."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def surroundings(folder: Path) -> dict[str, str]:
    """An environment with reports and a registry of its own; MLflow's migrated database is copied, its files are not."""
    database, migrated = folder / "mlflow.db", ROOT / "var" / "mlflow.db"
    if not database.exists() and migrated.exists():
        with closing(sqlite3.connect(migrated)) as old, closing(sqlite3.connect(database)) as new:
            old.backup(new)
            place = (folder / "mlruns").as_uri()
            new.execute("update experiments set artifact_location = ? || '/' || name", [place])
            new.commit()
    own = {"ML_WORKFLOW_REPORTS": str(folder / "reports"), "MLFLOW_TRACKING_URI": f"sqlite:///{database}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "ML_WORKFLOW_DEBUG")} | own


def workflow(*words: str, env: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`ml-workflow` with these words, as a process."""
    return subprocess.run([sys.executable, "-m", "ml_workflow.cli", *words], env=env, cwd=cwd, capture_output=True, text=True, timeout=500)


def newest(env: dict[str, str]) -> Path:
    """The folder of the newest run."""
    return max((p.parent for p in Path(env["ML_WORKFLOW_REPORTS"]).glob("*/run.json") if not p.parent.is_symlink()), key=lambda p: p.stat().st_ctime)


def record(folder: Path) -> dict[str, Any]:
    """A run's record."""
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))


def copy_of_the_project(place: Path) -> Path:
    """The project's own files without reports and state, to be edited."""
    for name in ("ml_workflow", "nbs", "tasks", "data"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("settings.ini", "pyproject.toml"):
        shutil.copy(ROOT / name, place / name)
    return place


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that stands once in a file."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path, old, text.count(old))
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="session")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the session's runs."""
    return surroundings(tmp_path_factory.mktemp("session"))


@pytest.fixture(scope="session")
def finished(env: dict[str, str]) -> Path:
    """The folder of a finished run of the penguins."""
    done = workflow("run", "penguins", "-p", "time_budget=2", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return (Path(env["ML_WORKFLOW_REPORTS"]) / "latest").resolve()
