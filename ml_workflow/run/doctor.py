"""What this machine lacks for the project, each with the way to get it. Looks, and changes nothing but its own temporary files."""

import ctypes.util
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

from ..store.files import root
from ..store.run import reports

ROOM = 2e9
"""Bytes that should be free: a run of the example takes some ten megabytes, `.venv` about two thousand."""


class Finding(NamedTuple):
    """One thing looked for: what was found, and how to get it where it is missing; `for_tests` when only tests need it."""

    name: str
    found: str
    remedy: str = ""
    for_tests: bool = False


def findings() -> Iterator[Finding]:
    """Each finding as soon as it is made, the quick ones first."""
    yield python()
    yield program("make", "apt-get install make (macOS: xcode-select --install)")
    yield program("git", "apt-get install git (macOS: xcode-select --install)")
    yield openmp()
    yield packages()
    yield room()
    yield writable(root(), "root")
    yield writable(reports(), "reports")
    yield database()
    yield in_step()
    yield chromium()
    yield postgresql()


def python() -> Finding:
    """Python 3.11 to 3.13."""
    found = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding(
        "Python",
        found,
        ""
        if fits
        else "install Python 3.11, 3.12 or 3.13, remove .venv, then: make setup PYTHON=python3.12",
    )


def program(name: str, remedy: str, for_tests: bool = False) -> Finding:
    """A program on the path."""
    path = shutil.which(name)
    return Finding(name, path or "not found", "" if path else remedy, for_tests)


def openmp() -> Finding:
    """The OpenMP library that LightGBM loads."""
    found = ctypes.util.find_library("omp" if sys.platform == "darwin" else "gomp")
    return Finding(
        "OpenMP",
        found or "not found",
        "" if found else "apt-get install libgomp1 (macOS: brew install libomp)",
    )


def packages() -> Finding:
    """The versions of requirements.lock."""
    lines = (root() / "requirements.lock").read_text(encoding="utf-8").splitlines()
    wanted = [need for line in lines if (need := needed(line))]
    other = [need.name for need in wanted if installed(need.name) not in need.specifier]
    found = f"{len(wanted) - len(other)} of {len(wanted)} as in requirements.lock" + (
        f"; not {', '.join(other[:5])}" if other else ""
    )
    return Finding("packages", found, "make setup" if other else "")


def needed(line: str) -> Requirement | None:
    """The requirement of a line of a lock, where it holds for this machine."""
    try:
        need = Requirement(line)
    except InvalidRequirement:
        return None
    return need if need.marker is None or need.marker.evaluate() else None


def installed(name: str) -> str:
    """The version of a package that is installed, or 0."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "0"


def room() -> Finding:
    """Free space where the project lies."""
    free = shutil.disk_usage(root()).free
    return Finding(
        "free disk",
        f"{free / 1e9:.1f} GB",
        "" if free >= ROOM else "make room for 2 GB; `ml-workflow runs --prune` removes old runs",
    )


def writable(folder: Path, name: str) -> Finding:
    """Whether a folder, or the nearest above it that exists, can be written."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    may = os.access(there, os.W_OK)
    return Finding(
        f"may write {name}",
        str(folder),
        ""
        if may
        else f"chown -R $USER {there}"
        + (", or set ML_WORKFLOW_REPORTS to a folder of yours" if name == "reports" else ""),
    )


def database() -> Finding:
    """MLflow's database, already migrated; with a server of one's own none is needed."""
    if address := os.environ.get("MLFLOW_TRACKING_URI", ""):
        return Finding(
            "MLflow",
            "as MLFLOW_TRACKING_URI says"
            if not address.startswith("sqlite")
            else "a database of your own",
        )
    path = root() / "var" / "mlflow.db"
    return Finding(
        "MLflow", "var/mlflow.db", "" if migrated(path) else "rm -f var/mlflow.db && make setup"
    )


def migrated(path: Path) -> bool:
    """Whether a SQLite file has MLflow's tables."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("select version_num from alembic_version").fetchall())
    except sqlite3.Error:
        return False


def in_step() -> Finding:
    """Whether the package is what the notebooks export: tried in a copy."""
    with TemporaryDirectory() as name:
        copy, package = Path(name), root() / "ml_workflow"
        for folder in ("nbs", "ml_workflow"):
            shutil.copytree(
                root() / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", ".*")
            )
        for file in ("settings.ini", "pyproject.toml"):
            shutil.copy(root() / file, copy)
        done = subprocess.run(
            [Path(sys.executable).with_name("nbdev-export")],
            cwd=copy,
            capture_output=True,
            text=True,
        )
        other = [
            file.name
            for file in sorted(package.glob("*.py"))
            if file.read_bytes() != (copy / "ml_workflow" / file.name).read_bytes()
        ]
    failed = done.stderr.strip().splitlines()[-1] if done.returncode else ""
    return Finding(
        "export",
        failed
        or (
            f"differs in {', '.join(other)}"
            if other
            else "the package is what the notebooks export"
        ),
        "make export" if failed or other else "",
    )


def chromium() -> Finding:
    """The browser that tests open pages with."""
    return next(
        (
            found
            for name in ("chromium", "google-chrome")
            if not (found := program(name, "", True)).found.startswith("not")
        ),
        Finding("chromium", "not found", "apt-get install chromium fonts-dejavu-core", True),
    )


def postgresql() -> Finding:
    """The database server that tests start."""
    found = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None)
    return Finding(
        "PostgreSQL", str(found or "not found"), "" if found else "apt-get install postgresql", True
    )
