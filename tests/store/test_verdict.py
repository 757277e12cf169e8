"""A verdict as people see it: its word once, and a table's names as text."""

from pathlib import Path

import pytest

from ml_workflow.errors import Refusal
from ml_workflow.store.run import Verdict, open_run
from ml_workflow.task.file import keep_task, read_task
from tests.conftest import ROOT


def test_a_verdict_says_its_word_once_and_shows_names_as_they_are() -> None:
    shown = Verdict(
        True, "Keep running: <b>a</b> & b tell little", {}, "keep running"
    )._repr_html_()
    assert (
        shown.count("eep running") == 0
        and "KEEP RUNNING</b>&ensp;&lt;b&gt;a&lt;/b&gt; &amp; b tell little</div>" in shown
    )
    assert "GO</b>&ensp;There is signal" in Verdict(True, "There is signal.")._repr_html_()


def test_a_stage_by_hand_reads_the_newest_run_of_its_own_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_WORKFLOW_REPORTS", str(tmp_path))
    for run in (
        "penguins-20260101T000000-aaaaaa",
        "penguins-20260102T000000-aaaaaa",
        "bikes-20260103T000000-aaaaaa",
        "penguins-2-20260104T000000-aaaaaa",
    ):
        (tmp_path / run / "files").mkdir(parents=True)
        (tmp_path / run / "files" / "plan.json").write_text("{}")
    (tmp_path / "latest").symlink_to("bikes-20260103T000000-aaaaaa")
    lab = open_run("lab")
    assert lab.input("plan.json", "01_research").parent.parent.name.startswith("bikes")
    keep_task(lab, read_task(ROOT / "tasks" / "penguins.yaml"))
    assert (
        lab.input("plan.json", "01_research").parent.parent.name
        == "penguins-20260102T000000-aaaaaa"
    )
    (tmp_path / "penguins-20260102T000000-aaaaaa" / "files" / "plan.json").unlink()
    assert (
        lab.input("plan.json", "01_research").parent.parent.name
        == "penguins-20260101T000000-aaaaaa"
    )
    with pytest.raises(Refusal, match="no run of its task holds it"):
        lab.input("proof.json", "03_poc")
