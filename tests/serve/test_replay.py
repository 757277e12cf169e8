"""A past decision comes out the same, whatever became of the project's code."""

from dataclasses import replace
from pathlib import Path

from ml_workflow.serve.rows import as_rows
from ml_workflow.store.database import open_decisions
from ml_workflow.store.decisions import Decision, Request, write
from tests.conftest import called
from tests.serve.conftest import home_of


def test_a_past_decision_comes_out_bit_for_bit_after_the_project_was_edited(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    home = home_of(runs["masses"], "masses", tmp_path)
    home.live.close()
    release, frame = home.live.model.release, home.inputs.head(1)
    scores = release.score(frame)
    best = str(release.decide(frame, scores)[0])
    (row,) = as_rows(frame)
    whole = Decision("7", row, "masses/1", scores[0].tolist(), best, 0.0)
    (tmp_path / "ml_workflow").mkdir()
    (tmp_path / "ml_workflow" / "dataset.py").write_text("raise ValueError('edited')")
    engine = open_decisions(home.env["ML_WORKFLOW_DATABASE"])
    for identity, changes, status, sentence in (
        ("whole", {}, 0, "the same, bit for bit"),
        ("other", {"action": "7.5"}, 3, "action was 7.5 and is"),
        ("rowless", {"row": None}, 2, "kept without its row"),
        ("nobody", None, 2, "No decision 'nobody'"),
    ):
        if changes is not None:
            write(engine, [Request([replace(whole, id=identity, **changes)])])
        done = called("replay", identity, env=home.env, cwd=tmp_path)
        assert (done.returncode, sentence in done.stdout + done.stderr) == (status, True), done
    engine.dispose()
