"""`ml-workflow runs` tells what runs take on the disk, and removes only what may go."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import workflow
from tests.run.test_index import record, write

BLOCK = 100_000


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five runs, one a day, each with a file of its own and one that all share by hard link; `latest` is the oldest."""
    monkeypatch.setenv("ML_WORKFLOW_REPORTS", str(tmp_path))
    names = [
        f"penguins-{datetime.now(UTC) - timedelta(days=day):%Y%m%dT%H%M%S}-00000{day}"
        for day in range(5)
    ]
    write(tmp_path, [record(number, run=name) for number, name in enumerate(names)])
    for name in names:
        (tmp_path / name / "files" / "own.bin").write_bytes(os.urandom(BLOCK))
        if name == names[0]:
            (tmp_path / name / "files" / "shared.bin").write_bytes(os.urandom(BLOCK))
        else:
            os.link(
                tmp_path / names[0] / "files" / "shared.bin",
                tmp_path / name / "files" / "shared.bin",
            )
    (tmp_path / "lab" / "files").mkdir(parents=True)
    (tmp_path / "latest").symlink_to(names[-1])
    return tmp_path


def runs(reports: Path) -> list[str]:
    """The runs that are there, newest first."""
    return sorted((path.parent.name for path in reports.glob("penguins-*/run.json")), reverse=True)


def test_files_that_runs_share_count_once(reports: Path) -> None:
    from ml_workflow.run.disk import listed

    found = listed()
    disk = sum(
        os.lstat(path).st_blocks * 512
        for path in {
            os.lstat(p).st_ino: p for p in reports.glob("penguins-*/**/*") if p.is_file()
        }.values()
    )
    assert sum(run.size for run in found) == pytest.approx(disk, rel=0.01)
    assert found[0].size - found[1].size == pytest.approx(BLOCK, rel=0.1)


def test_the_list_names_task_outcome_value_and_age(reports: Path) -> None:
    done = workflow("runs", env=dict(os.environ))
    first = done.stdout.splitlines()[0]
    assert done.returncode == 0 and all(
        word in first
        for word in (runs(reports)[0], "penguins", "until 03_poc", "$ ", "MB", "min old")
    )
    assert "5 runs" in done.stdout


def test_prune_keeps_the_newest_the_young_the_latest_and_lab(reports: Path) -> None:
    before = runs(reports)
    done = workflow(
        "runs", "--prune", "--keep", "1", "--days", "1.5", "--yes", env=dict(os.environ)
    )
    assert done.returncode == 0 and runs(reports) == [before[0], before[1], before[4]], done.stdout
    assert (reports / "lab").exists() and (reports / "latest").resolve().exists()
    assert before[2] not in (reports / "index.html").read_text()


def test_what_a_run_shares_with_a_removed_one_stays(reports: Path) -> None:
    oldest = runs(reports)[-1]
    workflow("runs", "--prune", "--keep", "0", "--days", "0", "--yes", env=dict(os.environ))
    assert (
        runs(reports) == [oldest]
        and (reports / oldest / "files" / "shared.bin").stat().st_size == BLOCK
    )


def test_prune_asks_and_no_is_no(reports: Path) -> None:
    before = runs(reports)
    done = workflow(
        "runs", "--prune", "--keep", "0", "--days", "0", env=dict(os.environ)
    )  # nobody answers
    assert "Remove 4 runs" in done.stdout and runs(reports) == before
