"""A run's folder: a verdict as people see it, and where a stage that is run by hand reads from."""

from pathlib import Path

import pytest

from ml_workflow.errors import Refusal
from ml_workflow.store.run import Verdict, open_run


def test_a_verdict_says_its_word_once_and_shows_names_as_they_are() -> None:
    verdict = Verdict(True, "Keep running: <b>a</b> & b tell little", {}, "keep running")
    shown = "KEEP RUNNING</b>&ensp;&lt;b&gt;a&lt;/b&gt; &amp; b tell little</div>"
    assert shown in verdict._repr_html_() and "eep running" not in verdict._repr_html_()
    assert "GO</b>&ensp;There is signal" in Verdict(True, "There is signal.")._repr_html_()


def test_a_stage_by_hand_reads_the_newest_run_of_its_own_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ML_WORKFLOW_REPORTS", str(tmp_path))
    older, newer = "penguins-20260101T000000-aaaaaa", "penguins-20260102T000000-aaaaaa"
    others = "bikes-20260103T000000-aaaaaa", "penguins-2-20260104T000000-aaaaaa"
    for run in (older, newer, *others):
        open_run(run).write_json("plan.json", run)
    (tmp_path / "latest").symlink_to(others[0])
    lab = open_run("lab")
    assert lab.read_json("plan.json", "01_research") == others[0]
    lab.output("task.yaml").parent.mkdir(parents=True)
    lab.output("task.yaml").write_text("name: penguins")
    assert lab.read_json("plan.json", "01_research") == newer
    assert f"plan.json is read from the newest run, {newer}." in capsys.readouterr().out
    open_run(newer).output("plan.json").unlink()
    assert lab.read_json("plan.json", "01_research") == older
    with pytest.raises(Refusal, match=r"no run of its task holds it: run nbs/03_poc\.ipynb first"):
        lab.input("proof.json", "03_poc")
