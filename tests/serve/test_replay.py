"""A past decision comes out the same, whatever became of the project's code."""

from dataclasses import replace
from pathlib import Path

from ml_workflow.store.committer import write
from ml_workflow.store.database import open_decisions
from ml_workflow.store.decisions import Decision, Request
from tests.conftest import called
from tests.serve.conftest import as_rows, home_of


def test_a_past_decision_comes_out_bit_for_bit_after_the_project_was_edited(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    home = home_of(runs["masses"], "masses", tmp_path)
    home.live.close()
    release, frame = home.live.model.release, home.holdout.head(1)
    scores = release.score(frame)
    best = str(release.decide(frame, scores)[0])
    row = as_rows(frame[[field.name for field in home.live.model.rows.fields]])[0]
    whole = Decision("7", row, "masses/1", scores[0].tolist(), best, 0.0, id="whole")
    expected = [
        (whole, 0, "the same, bit for bit"),
        (replace(whole, id="other", action="7.5"), 3, "action was 7.5 and is"),
        (replace(whole, id="drawn", action="7.5", propensity=0.1), 0, "the same"),
        (replace(whole, id="rowless", row=None), 2, "kept without its row"),
    ]
    engine = open_decisions(home.env["ML_WORKFLOW_DATABASE"])
    write(engine, [Request([decision for decision, *_ in expected])])
    engine.dispose()
    (tmp_path / "ml_workflow").mkdir()
    (tmp_path / "ml_workflow" / "dataset.py").write_text("raise ValueError('edited')")
    for decision, status, sentence in expected:
        done = called("replay", decision.id, env=home.env, cwd=tmp_path)
        assert (done.returncode, sentence in done.stdout + done.stderr) == (status, True), done
    unknown = called("replay", "nobody", env=home.env, cwd=tmp_path)
    assert unknown.returncode == 2 and "No decision 'nobody'" in unknown.stderr
