"""The record of what a process has read and imported."""

from pathlib import Path

import pytest

from ml_workflow.store import files


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
