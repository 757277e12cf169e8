"""`ml-workflow runs` tells what runs take on the disk, and removes only what may go."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml_workflow.run.pruning import kept_runs
from tests.conftest import called
from tests.report.test_index import record, write

BLOCK = 100_000


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five runs, one a day, each with a file of its own and one that all share by hard link.

    `latest` is the oldest.
    """
    monkeypatch.setenv("ML_WORKFLOW_REPORTS", str(tmp_path))
    days = [datetime.now(UTC) - timedelta(days=day) for day in range(5)]
    names = [f"penguins-{day:%Y%m%dT%H%M%S}-00000{n}" for n, day in enumerate(days)]
    write(tmp_path, [record(number, run=name) for number, name in enumerate(names)])
    shared = tmp_path / names[0] / "files" / "shared.bin"
    shared.write_bytes(os.urandom(BLOCK))
    for name in names:
        files = tmp_path / name / "files"
        (files / "own.bin").write_bytes(os.urandom(BLOCK))
        if files != shared.parent:
            os.link(shared, files / "shared.bin")
    (tmp_path / "lab" / "files").mkdir(parents=True)
    (tmp_path / "latest").symlink_to(names[-1])
    return tmp_path


def runs(reports: Path) -> list[str]:
    """The runs that are there, newest first."""
    return sorted((path.parent.name for path in reports.glob("penguins-*/run.json")), reverse=True)


def prune(newest: int, days: float, *words: str) -> str:
    """What the command says when it prunes."""
    given = ["--keep", str(newest), "--days", str(days), *words]
    return called("runs", "--prune", *given, env=dict(os.environ)).stdout


def test_files_that_runs_share_count_once(reports: Path) -> None:
    found = kept_runs()
    files = [os.lstat(path) for path in reports.glob("penguins-*/**/*") if path.is_file()]
    disk = {status.st_ino: status.st_blocks * 512 for status in files}
    assert sum(run.size for run in found) == pytest.approx(sum(disk.values()), rel=0.01)
    assert found[0].size - found[1].size == pytest.approx(BLOCK, rel=0.1)


def test_the_list_names_task_outcome_value_and_age(reports: Path) -> None:
    done = called("runs", env=dict(os.environ))
    first, newest = done.stdout.splitlines()[0], runs(reports)[0]
    words = (newest, "penguins", "until 03_poc", "$ ", "MB", "min old")
    assert done.returncode == 0 and all(word in first for word in words), done.stdout
    assert "5 runs" in done.stdout


def test_prune_keeps_the_newest_the_young_the_latest_and_lab(reports: Path) -> None:
    before = runs(reports)
    prune(1, 1.5, "--yes")
    assert runs(reports) == [before[0], before[1], before[4]]
    assert (reports / "lab").exists() and (reports / "latest").resolve().exists()
    assert before[2] not in (reports / "index.html").read_text()
    prune(0, 0, "--yes")
    assert runs(reports) == [before[4]]
    assert (reports / before[4] / "files" / "shared.bin").stat().st_size == BLOCK  # stays whole


def test_prune_asks_and_no_is_no(reports: Path) -> None:
    before = runs(reports)  # nobody answers
    assert "Remove 4 runs" in prune(0, 0) and runs(reports) == before
