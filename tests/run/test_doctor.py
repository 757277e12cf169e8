"""`ml-workflow doctor` finds what is missing, and says how to get it and what only tests need."""

from pathlib import Path

import pytest

from ml_workflow.run import doctor
from tests.conftest import called, copy_of_the_project, surroundings


def test_what_is_missing_is_said_with_its_remedy_and_status_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project = copy_of_the_project(tmp_path / "project")
    (project / "requirements.lock").write_text("pandas==0.1\nno-such-package==1.0\n")
    with (project / "ml_workflow" / "poc.py").open("a") as module:
        module.write("# by hand\n")
    env = surroundings(tmp_path) | {"PATH": str(tmp_path), "MLFLOW_TRACKING_URI": ""}
    done = called("doctor", env=env, cwd=project)
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert (done.returncode, done.stderr) == (3, ""), done
    assert list(lines)[:3] == ["Python", "make", "git"] and lines["Python"].endswith("ok")
    for name, words in {
        "make": "apt-get install make",
        "packages": "not pandas, no-such-package  missing: make setup",
        "export": "differs in poc.py  missing: make export",
        "MLflow": "make setup",
        "chromium": "missing, for tests only: apt-get install chromium",
    }.items():
        assert words in lines[name]


def test_a_folder_that_cannot_be_written_and_a_full_disk_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    monkeypatch.setattr(doctor, "ROOM", float("inf"))
    assert "ML_WORKFLOW_REPORTS" in doctor.writable(tmp_path / "none" / "reports", "reports").remedy
    assert "--prune" in doctor.room().remedy
