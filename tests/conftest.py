"""What several tests need: the command line, copies of the project, one finished run, a browser, a PostgreSQL."""

import contextlib
import io
import json
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

os.environ.setdefault(
    "GOMP_SPINCOUNT", "10000"
)  # as the command line sets it: waiting threads leave the core to others
PASSWORD = "wrong-horse-7"
ROOT = Path(__file__).parent.parent


def surroundings(folder: Path) -> dict[str, str]:
    """An environment with reports and a registry of its own; MLflow's migrated database is copied, its files are not."""
    database, migrated = folder / "mlflow.db", ROOT / "var" / "mlflow.db"
    if not database.exists() and migrated.exists():
        with closing(sqlite3.connect(migrated)) as old, closing(sqlite3.connect(database)) as new:
            old.backup(new)
            place = (folder / "mlruns").as_uri()
            new.execute("update experiments set artifact_location = ? || '/' || name", [place])
            for table in (
                "registered_model_aliases",
                "model_version_tags",
                "model_versions",
                "registered_model_tags",
                "registered_models",
            ):
                new.execute(f"delete from {table}")  # what runs by hand have registered
            new.commit()
    own = {
        "ML_WORKFLOW_REPORTS": str(folder / "reports"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{database}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONDONTWRITEBYTECODE", "ML_WORKFLOW_DEBUG")
    } | own


def workflow(
    *words: str, env: dict[str, str], cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """`ml-workflow` with these words, as a process."""
    return subprocess.run(
        [sys.executable, "-m", "ml_workflow.cli", *words],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=900,
    )


def called(*words: str, env: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`ml-workflow` with these words within this process, where its imports are paid for once."""
    from ml_workflow.cli import main

    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        for name, value in env.items():
            patch.setenv(name, value)
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["ml-workflow", *words])
        main()
        sys.exit()
    return subprocess.CompletedProcess(
        words, int(ended.value.code or 0), out.getvalue(), err.getvalue()
    )


def newest(env: dict[str, str]) -> Path:
    """The folder of the newest run."""
    return max(
        (
            p.parent
            for p in Path(env["ML_WORKFLOW_REPORTS"]).glob("*/run.json")
            if not p.parent.is_symlink()
        ),
        key=lambda p: p.stat().st_ctime,
    )


def record(folder: Path) -> dict[str, Any]:
    """A run's record."""
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))


def copy_of_the_project(place: Path) -> Path:
    """The project's own files without reports and state, to be edited."""
    for name in ("ml_workflow", "nbs", "tasks", "data"):
        shutil.copytree(
            ROOT / name,
            place / name,
            ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"),
        )
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


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real browser; there can be one in a process."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """A real PostgreSQL server, run by an unprivileged user; each call gives the URL of a new, empty database."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if programs is None:
        missing = "PostgreSQL is not installed here: apt-get install postgresql."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    assert programs is not None
    user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    with tempfile.TemporaryDirectory(
        prefix="pg-", dir="/tmp"
    ) as name:  # short: the path of a socket has at most 107 characters
        place = Path(name)
        place.chmod(0o755)
        (place / "secret").write_text(PASSWORD)
        (place / "data").mkdir(mode=0o700)
        (place / "socket").mkdir(mode=0o777)
        for path in (place / "data", place / "socket"):
            shutil.chown(path, user)
        base = ["-D", str(place / "data")]
        subprocess.run(
            [
                programs / "initdb",
                *base,
                "-A",
                "scram-sha-256",
                "-U",
                "tester",
                "-E",
                "UTF8",
                "--no-locale",
                f"--pwfile={place / 'secret'}",
                "-N",
            ],
            user=user,
            cwd=place,
            check=True,
            capture_output=True,
        )
        options = f"-c listen_addresses='' -c unix_socket_directories={place / 'socket'} -c fsync=off -c max_connections=100"
        control = [programs / "pg_ctl", *base, "-w"]
        subprocess.run(
            [*control, "-o", options, "-l", place / "data" / "log", "start"],
            user=user,
            cwd=place,
            check=True,
            capture_output=True,
        )
        server = f"postgresql://tester:{PASSWORD}@/{{}}?host={place / 'socket'}"

        def database() -> str:
            name = f"t{uuid4().hex[:12]}"
            engine = sa.create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(sa.text(f"CREATE DATABASE {name}"))
            engine.dispose()
            return server.format(name)

        try:
            yield database
        finally:
            subprocess.run(
                [*control, "-m", "immediate", "stop"],
                user=user,
                cwd=place,
                check=False,
                capture_output=True,
            )
