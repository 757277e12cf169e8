"""`ml-workflow doctor` finds what is missing, says how to get it, and tells what only tests need."""

from pathlib import Path

import pytest

from ml_workflow.run import doctor
from tests.conftest import copy_of_the_project, edit, surroundings, workflow


def test_a_sound_machine_has_status_0_and_one_line_for_each_finding(tmp_path: Path) -> None:
    done = workflow("doctor", env=surroundings(tmp_path))
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    assert [line.split("  ")[0] for line in done.stdout.splitlines()][:3] == [
        "Python",
        "make",
        "git",
    ]


def test_what_is_missing_is_said_with_its_remedy_and_status_3(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    (project / "requirements.lock").write_text("pandas==0.1\nno-such-package==1.0\n")
    edit(project / "ml_workflow" / "poc.py", "import time\n", "import time  # by hand\n")
    env = surroundings(tmp_path) | {"PATH": str(tmp_path)}
    env.pop("MLFLOW_TRACKING_URI")
    done = workflow("doctor", env=env, cwd=project)
    said = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert done.returncode == 3 and done.stderr == "", done.stdout + done.stderr
    assert (
        "apt-get install make" in said["make"]
        and "make setup" in said["packages"]
        and "not pandas, no-such-package" in said["packages"]
    )
    assert (
        "differs in poc.py" in said["export"]
        and "make export" in said["export"]
        and "make setup" in said["MLflow"]
    )
    assert "missing, for tests only: apt-get install chromium" in said["chromium"]


def test_a_folder_that_cannot_be_written_and_a_full_disk_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    monkeypatch.setattr(doctor, "ROOM", float("inf"))
    assert "ML_WORKFLOW_REPORTS" in doctor.writable(tmp_path / "none" / "reports", "reports").remedy
    assert "--prune" in doctor.room().remedy
