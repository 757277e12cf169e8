"""The registry finds releases by alias and version, checks them on every load, and goes forward and back between champions."""

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ml_workflow.errors import Refusal
from ml_workflow.model.registry import Version, promote, register, registered, rollback, versions
from ml_workflow.model.release import contents, digest_of
from tests.conftest import ROOT, surroundings


@pytest.fixture
def release(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run's release."""
    return Path(shutil.copytree(finished / "files" / "release", tmp_path / "release"))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, with an empty registry."""
    (tmp_path / "house").mkdir()
    shutil.copy(ROOT / "settings.ini", tmp_path / "house")
    monkeypatch.chdir(tmp_path / "house")
    for name, value in surroundings(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "house"


def kept(release: Path, run: str = "run-1") -> str:
    """Register a release as 04 does; the version."""
    return register(
        "penguins",
        release,
        digest_of(contents(release)),
        {"seed": 0},
        {"log_loss": 0.25},
        {"run": run, "data": "5f70bf18"},
    )


def changed(release: Path) -> None:
    """Change one figure of a release."""
    path = release / "release.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rows": 7}))


def test_promotion_and_rollback_go_through_the_champions_in_order(
    house: Path, release: Path
) -> None:
    for run in ("run-1", "run-2", "run-3"):
        kept(release, run)
    newest, _, oldest = versions("penguins")
    assert newest == Version(
        "3",
        ["challenger"],
        "run-3",
        digest_of(contents(release)),
        newest.created,
        {"log_loss": 0.25},
        None,
    )
    assert abs(datetime.now(UTC) - newest.created) < timedelta(minutes=5) and oldest.aliases == []
    with pytest.raises(Refusal, match="bears the alias 'champion'"):
        registered("penguins", "champion")
    with pytest.raises(Refusal, match="had no champion before now"):
        rollback("penguins")
    for which, aliases in (
        ("1", ["champion"]),
        ("2", ["champion"]),
        ("1", ["champion"]),
        ("challenger", ["challenger", "champion"]),
    ):
        assert promote("penguins", which).aliases == aliases
    assert promote("penguins", "3") == versions("penguins")[0]  # once more changes nothing
    assert [rollback("penguins").number for _ in range(3)] == ["1", "2", "1"]
    with pytest.raises(Refusal, match="had no champion before version 1"):
        rollback("penguins")
    assert [v.aliases for v in versions("penguins")] == [["challenger"], [], ["champion"]]
    assert all(
        v.champion_since and abs(datetime.now(UTC) - v.champion_since) < timedelta(minutes=5)
        for v in versions("penguins")
    )
    with pytest.raises(Refusal, match="there are: challenger, champion, 1, 2, 3"):
        promote("penguins", "4")
    with pytest.raises(Refusal, match="No release of 'bikes' is registered"):
        versions("bikes")


def test_mlflow_shows_signature_requirements_run_and_data(house: Path, release: Path) -> None:
    import mlflow

    kept(release)
    address = "models:/penguins@challenger"
    signature = mlflow.models.get_model_info(address).signature
    contract = json.loads((release / "contract.json").read_text())
    assert signature.inputs.input_names() == list(contract) and len(signature.outputs) == 3
    lines = Path(mlflow.pyfunc.get_model_dependencies(address)).read_text().split()
    assert (
        lines
        == [
            f"{k}=={v}"
            for k, v in json.loads((release / "release.json").read_text())["requirements"].items()
        ]
        != []
    )
    run = mlflow.MlflowClient().get_run(
        mlflow.MlflowClient().get_model_version("penguins", "1").run_id
    )
    assert (run.data.tags["run"], run.data.tags["data"], run.data.metrics) == (
        "run-1",
        "5f70bf18",
        {"log_loss": 0.25},
    )


def test_a_release_is_kept_by_its_content_and_checked_on_every_load(
    house: Path, release: Path, tmp_path: Path
) -> None:
    kept(release)
    digest = registered("penguins", "challenger").digest
    folder = house / "var" / "releases" / digest
    assert contents(folder) == contents(release) and [
        path.name for path in folder.parent.iterdir()
    ] == [digest]
    shutil.rmtree(tmp_path / "mlruns")  # as a server whose files are far away
    assert registered("penguins", "1").digest == digest
    changed(folder)
    with pytest.raises(Refusal, match="is not what was registered"):
        registered("penguins", "challenger")
    shutil.rmtree(folder)
    with pytest.raises(Refusal, match="cannot be fetched"):
        registered("penguins", "challenger")
    assert list(folder.parent.iterdir()) == []


def test_what_was_tampered_with_in_mlflows_store_is_neither_loaded_nor_kept_nor_promoted(
    house: Path, release: Path, tmp_path: Path
) -> None:
    kept(release)
    (stored,) = (tmp_path / "mlruns").rglob("release.json")
    changed(stored.parent)
    for attempt in (registered, promote):
        with pytest.raises(Refusal, match="is not what was registered"):
            attempt("penguins", "challenger")
    assert list((house / "var" / "releases").iterdir()) == [] and versions("penguins")[
        0
    ].aliases == ["challenger"]


def test_a_registry_that_is_down_is_said_in_a_sentence_without_its_password(
    house: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:wrong-horse-7@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        Refusal, match=r"The registry http://\*\*\*@127\.0\.0\.1:9 does not"
    ) as refused:
        registered("penguins", "challenger")
    assert "wrong-horse-7" not in str(refused.value) and "\n" not in str(refused.value)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.prove  # MLflow waits 20 s for a lock
def test_a_registry_that_is_locked_is_said_in_a_sentence(
    house: Path, release: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept(release)
    with closing(sqlite3.connect(house.parent / "mlflow.db")) as held:
        held.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Refusal, match=r"The registry sqlite:.* is locked"):
            registered("penguins", "challenger")
    assert "Traceback" not in capfd.readouterr().err
