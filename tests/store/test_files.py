"""The record of what a process has read and imported, and how light the package loads."""

import subprocess
import sys
from pathlib import Path

import pytest

from ml_workflow.store import files
from tests.conftest import ROOT


def test_a_project_of_another_name_has_its_own_modules_and_the_librarys_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings.ini").write_text("[DEFAULT]\nlib_path = churn_of_2026\n")
    (tmp_path / "churn_of_2026").mkdir()
    (tmp_path / "churn_of_2026" / "__init__.py").write_text("rate = 0.1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    __import__(files.package())
    noted, library = files.modules(), Path(files.__file__)
    assert noted["churn_of_2026/__init__.py"] == files.digest(
        tmp_path / "churn_of_2026/__init__.py"
    )
    assert noted[str(library)] == files.digest(library)


def test_the_package_and_a_release_load_without_what_only_reports_and_searches_need() -> None:
    code = "import sys, ml_workflow, ml_workflow.model.release; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"seaborn", "great_tables", "optuna", "mlflow"}.isdisjoint(done.stdout.split())
