"""What several tests need: the command line, copies of the project, one finished run, servers."""

import contextlib
import fcntl
import io
import json
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

# As the command line sets it: waiting threads leave the core to others.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
PASSWORD = "wrong-horse-7"
ROOT = Path(__file__).parent.parent
# The longest files come first, so that no worker is left alone with one in the end.
SLOW_ROOMS = ["whole", "run", "operate", "serve"]
# Its own run goes on beside the finished one, which every other file of the room waits for.
FIRST = "test_tables.py"
SLOW_FIXTURES = {"finished", "browser", "postgres", "scheduler"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow rooms first; what needs a finished run, a server or a browser is marked as slow."""

    def place(item: pytest.Item) -> tuple[int, bool]:
        room = item.path.parent.name
        number = SLOW_ROOMS.index(room) if room in SLOW_ROOMS else len(SLOW_ROOMS)
        return number, item.path.name != FIRST

    items.sort(key=place)
    for item in items:
        fixtures = getattr(item, "fixturenames", [])
        if SLOW_FIXTURES & set(fixtures) or "postgresql" in item.name:
            item.add_marker("slow")


def copy_registry(old: Path, new: Path) -> None:
    """Copy MLflow's database; what is registered through the copy gets files of its own."""
    with closing(sqlite3.connect(old)) as source, closing(sqlite3.connect(new)) as target:
        source.backup(target)
        place = (new.parent / "mlruns").as_uri()
        target.execute("update experiments set artifact_location = ? || '/' || name", [place])
        target.commit()


def surroundings(folder: Path) -> dict[str, str]:
    """An environment with reports and an empty registry of its own, migrated beforehand."""
    database, migrated = folder / "mlflow.db", ROOT / "var" / "mlflow.db"
    if not database.exists() and migrated.exists():
        copy_registry(migrated, database)
        with closing(sqlite3.connect(database)) as registry:  # without what runs by hand registered
            registry.executescript(
                "delete from registered_model_aliases; delete from model_version_tags;"
                "delete from model_versions; delete from registered_model_tags;"
                "delete from registered_models;"
            )
    unset = ("PYTHONDONTWRITEBYTECODE", "ML_WORKFLOW_DEBUG")
    return {name: value for name, value in os.environ.items() if name not in unset} | {
        "ML_WORKFLOW_REPORTS": str(folder / "reports"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{database}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def python(
    *words: str, env: dict[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """This Python with these words, as a process."""
    command = [sys.executable, *words]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=900)


def workflow(
    *words: str, env: dict[str, str], cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """`ml-workflow` with these words, as a process."""
    return python("-m", "ml_workflow.cli", *words, env=env, cwd=cwd)


@contextlib.contextmanager
def within(folder: Path, env: dict[str, str]) -> Iterator[pytest.MonkeyPatch]:
    """What happens in a folder and an environment; what else is patched comes back with them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in env.items():
            patch.setenv(name, value)
        yield patch


def called(*words: str, env: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`ml-workflow` with these words within this process, where its imports are paid for once."""
    from ml_workflow.cli import main

    out, err = io.StringIO(), io.StringIO()
    with (
        within(cwd, env) as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        patch.setattr(sys, "argv", ["ml-workflow", *words])
        main()
        sys.exit()
    status = int(ended.value.code or 0)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def newest(env: dict[str, str]) -> Path:
    """The folder of the newest run."""
    records = Path(env["ML_WORKFLOW_REPORTS"]).glob("*/run.json")
    runs = [record.parent for record in records if not record.parent.is_symlink()]
    return max(runs, key=lambda run: run.stat().st_ctime)


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def record(folder: Path) -> dict[str, Any]:
    """A run's record."""
    return read_json(folder / "run.json")


def wait_until(true: Callable[[], Any], seconds: float = 20) -> bool:
    """Whether it is true in time."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(true())


def copy_of_the_project(place: Path) -> Path:
    """The project's own files without reports and state, to be edited."""
    ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("ml_workflow", "nbs", "tasks", "data"):
        shutil.copytree(ROOT / name, place / name, ignore=ignored)
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
    """The environment of a worker's runs."""
    return surroundings(tmp_path_factory.mktemp("session"))


@pytest.fixture(scope="session")
def finished(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of a finished run of the penguins: made once, and every worker has a copy."""
    session = tmp_path_factory.getbasetemp()
    place = (session if worker_id == "master" else session.parent) / "finished"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "reports" / "latest").exists():
            words = ["run", "penguins", "-p", "time_budget=2"]
            done = workflow(*words, env=surroundings(place))
            assert (done.returncode, done.stderr) == (0, ""), done
    reports = Path(env["ML_WORKFLOW_REPORTS"])
    (reports / "latest").unlink(missing_ok=True)
    shutil.copytree(place / "reports", reports, symlinks=True, dirs_exist_ok=True)
    copy_registry(place / "mlflow.db", reports.parent / "mlflow.db")
    return (reports / "latest").resolve()


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of a Dask cluster of two worker processes."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


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
    """A PostgreSQL of an unprivileged user; each call gives the URL of a new, empty database."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if programs is None:
        missing = "PostgreSQL is not installed here: apt-get install postgresql."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    # A short name: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as place:
        Path(place, "secret").write_text(PASSWORD)
        shutil.chown(place, user)
        run = partial(subprocess.run, user=user, cwd=place, capture_output=True)
        words = "-A scram-sha-256 -U tester -E UTF8 --no-locale --pwfile=secret -N -D data"
        run([programs / "initdb", *words.split()], check=True)
        options = f"-c listen_addresses='' -c unix_socket_directories={place} -c fsync=off"
        control = [programs / "pg_ctl", "-D", "data", "-w"]
        run([*control, "-o", options, "-l", "log", "start"], check=True)
        server = f"postgresql://tester:{PASSWORD}@/{{}}?host={place}"

        def database() -> str:
            new = f"t{uuid4().hex[:12]}"
            known = f"--maintenance-db={server.format('postgres')}"
            run([programs / "createdb", known, new], check=True)
            return server.format(new)

        try:
            yield database
        finally:
            run([*control, "-m", "immediate", "stop"])


def new_database(request: pytest.FixtureRequest, kind: str) -> str:
    """The address of a new, empty database of this kind."""
    if kind == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/new.db"
    return request.getfixturevalue("postgres")()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The address of a new, empty database of each kind."""
    return new_database(request, request.param)
