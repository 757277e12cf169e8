"""What this machine lacks for the project, each with the way to get it; nothing is changed."""

import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from filecmp import cmpfiles
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

from ..store.files import package, root
from ..store.run import reports

ROOM = 2e9
"""Bytes that should be free: a run takes some ten megabytes, `.venv` about two thousand."""


class Finding(NamedTuple):
    """One thing looked for: what there is, and the remedy where that will not do."""

    name: str
    state: str
    remedy: str = ""
    for_tests: bool = False
    """Whether only tests need it."""


def findings() -> Iterator[Finding]:
    """Each finding as soon as it is made, the quick ones first."""
    yield python()
    for name in ("make", "git"):
        remedy = f"apt-get install {name} (macOS: xcode-select --install)"
        yield present(name, shutil.which(name), remedy)
    library = ctypes.util.find_library("omp" if sys.platform == "darwin" else "gomp")
    yield present("OpenMP", library, "apt-get install libgomp1 (macOS: brew install libomp)")
    yield packages()
    yield room()
    yield writable(root(), "root")
    yield writable(reports(), "reports")
    yield database()
    yield in_step()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    yield present("chromium", browser, "apt-get install chromium fonts-dejavu-core", True)
    server = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None)
    yield present("PostgreSQL", server, "apt-get install postgresql", True)


def python() -> Finding:
    """Python 3.11 to 3.13."""
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    remedy = "install Python 3.11, 3.12 or 3.13, remove .venv, then: make setup PYTHON=python3.12"
    return Finding("Python", ".".join(map(str, sys.version_info[:3])), "" if fits else remedy)


def present(name: str, place: object, remedy: str, for_tests: bool = False) -> Finding:
    """Something that is in a place, or nowhere."""
    return Finding(name, str(place or "not found"), "" if place else remedy, for_tests)


def packages() -> Finding:
    """The versions of requirements.lock."""
    lines = (root() / "requirements.lock").read_text(encoding="utf-8").splitlines()
    needs = [need for line in lines if (need := needed(line))]
    other = [need.name for need in needs if installed(need.name) not in need.specifier]
    state = f"{len(needs) - len(other)} of {len(needs)} as in requirements.lock"
    if not other:
        return Finding("packages", state)
    return Finding("packages", f"{state}; not {', '.join(other[:5])}", "make setup")


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
    remedy = "make room for 2 GB; `ml-workflow runs --prune` removes old runs"
    return Finding("free disk", f"{free / 1e9:.1f} GB", "" if free >= ROOM else remedy)


def writable(folder: Path, name: str) -> Finding:
    """Whether a folder, or the nearest above it that exists, can be written."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    remedy = f"chown -R $USER {there}"
    if name == "reports":
        remedy += ", or set ML_WORKFLOW_REPORTS to a folder of yours"
    return Finding(f"may write {name}", str(folder), "" if os.access(there, os.W_OK) else remedy)


def database() -> Finding:
    """MLflow's database, already migrated; with a server of one's own none is needed."""
    if address := os.environ.get("MLFLOW_TRACKING_URI", ""):
        own = "a database of your own"
        return Finding("MLflow", own if "sqlite" in address else "as MLFLOW_TRACKING_URI says")
    there = (root() / "var" / "mlflow.db").exists()
    return Finding("MLflow", "var/mlflow.db", "" if there else "make setup")


def in_step() -> Finding:
    """Whether the package is what the notebooks export: tried in a copy."""
    own = package()
    with TemporaryDirectory() as name:
        copy = Path(name)
        for folder in ("nbs", own):
            ignore = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(root() / folder, copy / folder, ignore=ignore)
        for file in ("settings.ini", "pyproject.toml"):
            shutil.copy(root() / file, copy)
        export = Path(sys.executable).with_name("nbdev-export")
        done = subprocess.run([export], cwd=copy, capture_output=True, text=True)
        names = sorted(file.name for file in (root() / own).glob("*.py"))
        other = cmpfiles(root() / own, copy / own, names, shallow=False)[1]
    if done.returncode:
        return Finding("export", done.stderr.strip().splitlines()[-1], "make export")
    if other:
        return Finding("export", f"differs in {', '.join(other)}", "make export")
    return Finding("export", "the package is what the notebooks export")
