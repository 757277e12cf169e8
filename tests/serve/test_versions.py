"""Versions switch by one command and back, and past decisions come out the same."""

from pathlib import Path

import pandas as pd
import pytest

from ml_workflow.model.registry import register
from ml_workflow.model.release import contents, digest_of, load_release
from ml_workflow.store.database import insert_frames, new_decisions
from tests.conftest import called, copy_of_the_project, edit, surroundings


@pytest.fixture
def house(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, dict[str, str]]:
    """A project of its own with the finished run's release registered twice; no champion yet."""
    project = copy_of_the_project(tmp_path / "project")
    env = surroundings(tmp_path)
    monkeypatch.chdir(project)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    release = finished / "files" / "release"
    for run in ("run-1", finished.name):
        register(
            "penguins",
            release,
            digest_of(contents(release)),
            {},
            {"log_loss": 0.25, "net_value_per_month": 1234.0},
            {"run": run},
        )
    return project, env


def test_promote_and_rollback_switch_the_champion_and_versions_shows_it(
    house: tuple[Path, dict[str, str]], finished: Path
) -> None:
    project, env = house
    assert (
        called("promote", "penguins", "1", env=env, cwd=project).stdout
        == "penguins is served by version 1 now.\n"
    )
    assert (
        called("promote", "penguins", "challenger", env=env, cwd=project).stdout
        == "penguins is served by version 2 now.\n"
    )
    assert (
        called("rollback", "penguins", env=env, cwd=project).stdout
        == "penguins is served by version 1 again.\n"
    )
    shown = called("versions", "penguins", env=env, cwd=project)
    assert shown.stderr == ""
    lines = [line.split() for line in shown.stdout.splitlines() if line.strip()]
    assert lines[2][:3] == ["2", "challenger", finished.name] and lines[3][:3] == [
        "1",
        "champion",
        "run-1",
    ]
    assert (
        "log_loss 0.25" in shown.stdout
        and "1,234" in shown.stdout
        and shown.stdout.count("UTC") == 2
    )
    again = called("rollback", "penguins", env=env, cwd=project)
    assert again.returncode == 2 and "nothing to go back to" in again.stderr


def test_a_past_decision_comes_out_bit_for_bit_after_the_project_was_edited(
    house: tuple[Path, dict[str, str]], finished: Path
) -> None:
    project, env = house
    folder = finished / "files" / "release"
    release = load_release(folder, digest_of(contents(folder)))
    row = pd.read_parquet(finished / "files" / "holdout.parquet").head(1)
    scores, today = release.score(row), release.current(row)
    kept = {
        "unit": "7",
        "row": row.drop(columns="species").to_dict("records")[0],
        "version": "penguins/1",
        "propensity": 1.0,
        "fallback": False,
        "time": 0.0,
    }
    engine = new_decisions(project / "var" / "decisions.db")
    insert_frames(
        engine,
        {
            "decisions": pd.DataFrame(
                [
                    {
                        "id": "a",
                        **kept,
                        "score": scores[0].tolist(),
                        "action": release.decide(row, scores)[0],
                    },
                    {"id": "b", **kept, "score": [0.1, 0.2, 0.7], "action": "Dodo"},
                    {"id": "c", **kept, "score": None, "action": today[0]},
                ]
            )
        },
    )
    engine.dispose()
    edit(
        project / "ml_workflow" / "dataset.py",
        '    "No features: the table as it is."\n    return frame',
        '    "No features."\n    return frame * 2',
    )
    for decision, status, said in (
        ("a", 0, "the same, bit for bit"),
        ("b", 3, "action was Dodo and is"),
        ("c", 0, "the same"),
        ("d", 2, "is not in the decisions database"),
    ):
        done = called("replay", decision, env=env, cwd=project)
        assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done
