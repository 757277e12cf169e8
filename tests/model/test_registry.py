"""The registry checks releases on every load, and goes forward and back between champions."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from ml_workflow.errors import Refusal
from ml_workflow.model.registry import (
    Entry,
    champion,
    log,
    promote,
    register,
    registered,
    rollback,
    tasks,
    versions,
)
from ml_workflow.model.release import contents
from tests.model.conftest import Kept

FIGURES = {"log_loss": 0.25}


def registration(release: Kept, run: str = "run-1") -> str:
    """Register a release as 04 does; the version."""
    return register("stretch", *release, {"seed": 0}, FIGURES, {"run": run, "data": "5f70bf18"})


def test_promotion_and_rollback_go_through_the_champions_in_order(release: Kept) -> None:
    with pytest.raises(Refusal, match="No release of 'stretch' is registered"):
        versions("stretch")
    for run in ("run-1", "run-2", "run-3"):
        registration(release, run)
    newest, _, oldest = versions("stretch")
    assert newest.number == "3" and newest.aliases == ["challenger"] and oldest.aliases == []
    assert (newest.run, newest.digest, newest.figures) == ("run-3", release.digest, FIGURES)
    assert newest.champion_since is None and tasks() == ["stretch"]
    with pytest.raises(Refusal, match="bears the alias 'champion'"):
        registered("stretch", "champion")
    with pytest.raises(Refusal, match="No version of stretch is champion: `ml-workflow promote"):
        champion("stretch")
    with pytest.raises(Refusal, match="had no champion before now"):
        rollback("stretch")
    assert [promote("stretch", which) for which in "121"] == ["1", "2", "1"]
    assert [promote("stretch", which) for which in ("challenger", "3")] == ["3", "3"]
    assert champion("stretch")[0] == "stretch/3"
    assert [rollback("stretch") for _ in range(3)] == ["1", "2", "1"]
    with pytest.raises(Refusal, match="had no champion before version 1"):
        rollback("stretch")
    listed = versions("stretch")
    assert [version.aliases for version in listed] == [["challenger"], [], ["champion"]]
    assert all(version.champion_since for version in listed)
    with pytest.raises(Refusal, match="there are: challenger, champion, 1, 2, 3"):
        promote("stretch", "4")


def test_mlflow_shows_signature_requirements_run_and_data(release: Kept) -> None:
    registration(release)
    address = "models:/stretch@challenger"
    signature = mlflow.models.get_model_info(address).signature
    assert signature.inputs.input_names() == ["x"]
    assert signature.outputs.input_names() == ["score", "decision"]
    lines = Path(mlflow.pyfunc.get_model_dependencies(address)).read_text().split()
    assert {line.split("==")[0] for line in lines} >= {"ml-workflow", "mlflow", "scikit-learn"}
    client = mlflow.MlflowClient()
    run = client.get_run(str(client.get_model_version("stretch", "1").run_id)).data
    assert (run.tags["run"], run.tags["data"]) == ("run-1", "5f70bf18")
    assert run.metrics == FIGURES and run.params == {"seed": "0"}


def test_a_run_is_logged_once_and_a_failed_one_as_failed(house: Path) -> None:
    entry = Entry("sweep", "a", {"leaves": 7}, FIGURES, {"run": "a", "outcome": "failed"})
    log([entry, entry])
    log([entry])
    (run,) = mlflow.search_runs(experiment_names=["sweep"], output_format="list")
    assert run.info.status == "FAILED" and run.data.params == {"leaves": "7"}


def test_a_release_is_kept_by_its_content_and_checked_on_every_load(
    house: Path, release: Kept
) -> None:
    registration(release)
    assert registered("stretch", "challenger").digest == release.digest
    folder = house / "var" / "releases" / release.digest
    assert contents(folder) == contents(release.folder)
    assert list(folder.parent.iterdir()) == [folder]
    shutil.rmtree(house.parent / "mlruns")  # as a server whose files are far away
    assert registered("stretch", "1").digest == release.digest
    (folder / "card.json").write_text("{}")
    with pytest.raises(Refusal, match="is not what was registered"):
        registered("stretch", "challenger")
    shutil.rmtree(folder)
    with pytest.raises(Refusal, match="cannot be fetched"):
        registered("stretch", "challenger")
    assert list(folder.parent.iterdir()) == []


def test_the_digest_is_kept_outside_of_the_release_and_only_what_has_one_is_loaded(
    release: Kept,
) -> None:
    registration(release)
    files = [path for path in release.folder.rglob("*") if path.is_file()]
    assert all(release.digest.encode() not in path.read_bytes() for path in files)
    mlflow.MlflowClient().delete_model_version_tag("stretch", "1", "digest")
    with pytest.raises(Refusal, match="Version 1 of stretch was not registered by ml-workflow"):
        registered("stretch", "1")


def test_what_was_tampered_with_in_mlflow_s_store_is_neither_loaded_nor_promoted(
    house: Path, release: Kept
) -> None:
    registration(release)
    (stored,) = (house.parent / "mlruns").rglob("card.json")
    stored.write_text("{}")
    for attempt in (registered, promote):
        with pytest.raises(Refusal, match="is not what was registered"):
            attempt("stretch", "challenger")
    assert list((house / "var" / "releases").iterdir()) == []
    assert versions("stretch")[0].aliases == ["challenger"]


def test_a_registry_that_is_down_is_said_in_a_sentence_without_its_password(
    house: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:wrong-horse-7@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    sentence = r"The registry http://\*\*\*@127\.0\.0\.1:9 does not"
    with pytest.raises(Refusal, match=sentence) as refused:
        registered("stretch", "challenger")
    assert "wrong-horse-7" not in str(refused.value) and "\n" not in str(refused.value)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.prove  # MLflow waits 20 s for a lock
def test_a_registry_that_is_locked_is_said_in_a_sentence(
    house: Path, release: Kept, capfd: pytest.CaptureFixture[str]
) -> None:
    registration(release)
    with closing(sqlite3.connect(house.parent / "mlflow.db")) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Refusal, match=r"The registry sqlite:.* is locked"):
            registered("stretch", "challenger")
    assert "Traceback" not in capfd.readouterr().err
