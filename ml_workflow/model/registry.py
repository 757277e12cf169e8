"""Releases by version and alias, in MLflow: registered, loaded, promoted, rolled back.

MLflow stands on var/mlflow.db, or on any server that MLFLOW_TRACKING_URI names."""

import json
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Refusal
from ..store.address import first_line
from ..store.files import root
from .release import Release, contents, digest_of, load_release

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""What MLflow's environment variables are where they are not set."""


@contextmanager
def _registry() -> Iterator[Any]:
    """MLflow's client; what it cannot do, and a registry that is down, end in one sentence."""
    for name, usual in SETTINGS.items():
        os.environ.setdefault(name, usual)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    import mlflow
    import sqlalchemy as sa
    from mlflow.store.db import utils

    utils.MAX_RETRY_COUNT = 3  # ten would let a database that is down take 100 s
    (root() / "var").mkdir(exist_ok=True)
    address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'var' / 'mlflow.db'}"
    try:
        mlflow.set_tracking_uri(address)
        yield mlflow.MlflowClient(address)
    except (mlflow.exceptions.MlflowException, sa.exc.SQLAlchemyError) as error:
        fault = (
            f"The registry {address} does not do what was asked of it ({first_line(error)}): "
            "see that it runs, is not locked and takes writes, then try again."
        )
        raise Refusal(re.sub(r"//[^/@\s]*@", "//***@", fault)) from None


class Entry(NamedTuple):
    """A run as MLflow lists it; its tags tell it from others."""

    experiment: str
    run: str
    parameters: Mapping[str, Any]
    figures: Mapping[str, float]
    tags: Mapping[str, str]


def log(entries: list[Entry]) -> None:
    """Log runs that MLflow does not have yet."""
    with _registry() as client:
        for entry in entries:
            experiment = _experiment(client, entry.experiment)
            same = " and ".join(f"tags.{name} = '{value}'" for name, value in entry.tags.items())
            if not client.search_runs([experiment], same, max_results=1):
                _log(client, entry)


def _log(client: Any, entry: Entry) -> Any:
    """A new run with its parameters, figures and tags, as MLflow keeps it."""
    import mlflow

    experiment = _experiment(client, entry.experiment)
    run = client.create_run(experiment, run_name=entry.run, tags=dict(entry.tags))
    mlflow.log_params(dict(entry.parameters), run_id=run.info.run_id)
    mlflow.log_metrics(dict(entry.figures), run_id=run.info.run_id)
    status = "FAILED" if entry.tags.get("outcome") == "failed" else "FINISHED"
    client.set_terminated(run.info.run_id, status)
    return run


def _experiment(client: Any, name: str) -> str:
    """The number of MLflow's experiment; its files lie beside SQLite or at a server."""
    experiment = client.get_experiment_by_name(name)
    if experiment:
        return str(experiment.experiment_id)
    address = client.tracking_uri
    database = Path(address.removeprefix("sqlite:///")).absolute()
    beside = (database.parent / "mlruns" / name).as_uri()
    place = beside if address.startswith("sqlite:") else None
    return str(client.create_experiment(name, artifact_location=place))


def register(
    name: str,
    folder: Path,
    digest: str,
    parameters: Mapping[str, Any],
    figures: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    """Log a release under its model's name as the `challenger`; the version's number.

    The digest, which every load of it checks, stays in the registry.
    """
    release = load_release(folder, digest)
    with _registry() as client, tempfile.TemporaryDirectory() as place:
        run = _log(client, Entry(name, tags.get("run", ""), parameters, figures, tags)).info
        _save(Path(place), release, folder, run.run_id)
        client.log_artifacts(run.run_id, f"{place}/model", "model")
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        source, facts = f"{run.artifact_uri}/model", {**tags, "digest": digest}
        version = client.create_model_version(name, source, run.run_id, tags=facts)
        client.set_registered_model_alias(name, "challenger", version.version)
    return str(version.version)


def _save(place: Path, release: Release, folder: Path, run: str) -> None:
    """A release as a model of MLflow's, with its signature and the libraries that it needs."""
    import mlflow

    from . import pyfunc

    card = release.card
    needed = {"ml-workflow": card.library, "mlflow": mlflow.__version__, **card.requirements}
    with warnings.catch_warnings(action="ignore"):  # it asks for an example of the inputs
        mlflow.pyfunc.save_model(
            place / "model",
            loader_module=pyfunc.__name__,
            data_path=shutil.copytree(folder, place / "release"),
            pip_requirements=[f"{library}=={version}" for library, version in needed.items()],
            signature=pyfunc.signature(release),
            model_config={"digest": release.digest},
            mlflow_model=mlflow.models.Model("model", run),
        )


class Version(NamedTuple):
    """A registered release.

    `champion_since` is when it last became champion, None for one that never was.
    """

    number: str
    aliases: list[str]
    run: str
    digest: str
    figures: dict[str, float]
    champion_since: datetime | None


def versions(name: str) -> list[Version]:
    """The registered releases of a task, the newest first."""
    with _registry() as client:
        names = _aliases(client, name).items()
        listed = [
            Version(
                str(v.version),
                sorted(alias for alias, number in names if number == str(v.version)),
                v.tags.get("run", ""),
                v.tags.get("digest", ""),
                client.get_run(v.run_id).data.metrics,
                max(map(datetime.fromisoformat, _reigns(v).since), default=None),
            )
            for v in client.search_model_versions(f"name = '{name}'")
        ]
    return sorted(listed, key=lambda version: -int(version.number))


def aliases(name: str) -> dict[str, str]:
    """The number of the version that bears each alias."""
    with _registry() as client:
        return _aliases(client, name)


def tasks() -> list[str]:
    """The names of the tasks that have a registered release."""
    with _registry() as client:
        return sorted(model.name for model in client.search_registered_models())


def registered(name: str, which: str) -> Release:
    """The release that bears an alias or a version number, checked by the registry's digest."""
    with _registry() as client:
        version = _version(client, name, which)
        digest = version.tags.get("digest", "")
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise Refusal(
                f"Version {version.version} of {name} was not registered by ml-workflow, "
                "which keeps a digest: it is not loaded."
            )
        folder = place_of(digest)
        if not folder.exists():
            _fetch(str(version.source), folder, digest)
    return load_release(folder, digest)


def champion(name: str) -> tuple[str, Release]:
    """The champion of a task as TASK/NUMBER, and its release."""
    number = aliases(name).get("champion")
    if number is None:
        raise Refusal(
            f"No version of {name} is champion: "
            f"`ml-workflow promote {name} challenger` lets the newest serve."
        )
    return f"{name}/{number}", registered(name, number)


def place_of(digest: str) -> Path:
    """The folder of a release that was fetched from the registry."""
    return root() / "var" / "releases" / digest


def _fetch(source: str, folder: Path, digest: str) -> None:
    """Copy a release from where MLflow keeps it to var/releases, whole or not at all."""
    import mlflow

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as place:
        try:
            model = Path(mlflow.artifacts.download_artifacts(source, dst_path=place))
            copy = next(model.rglob("release"))
        except (mlflow.exceptions.MlflowException, OSError, StopIteration):
            raise Refusal(
                f"The release in {source} cannot be fetched: "
                "bring it back to where MLflow keeps it, or release again."
            ) from None
        if digest_of(contents(copy)) != digest:
            raise Refusal(
                f"The release in {source} is not what was registered "
                f"(registered {digest[:12]}): it is not loaded."
            )
        if not folder.exists():
            copy.rename(folder)


class Reigns(NamedTuple):
    """When a version became champion, and which versions were it before, the latest last."""

    since: Sequence[str] = ()
    before: Sequence[str] = ()


def promote(name: str, which: str) -> str:
    """Make a version champion, once it was loaded and kept its promise; its number.

    The champions before it are noted with it, for a rollback.
    """
    registered(name, which)
    with _registry() as client:
        version, serving = _version(client, name, which), _champion(client, name)
        before = [*_reigns(serving).before, str(serving.version)] if serving else []
        if str(version.version) not in before[-1:]:
            _crown(client, version, before)
    return str(version.version)


def rollback(name: str) -> str:
    """Make the champion before the present one champion again; its number.

    It is loaded first and must keep its promise.
    """
    with _registry() as client:
        serving = _champion(client, name)
        before = _reigns(serving).before if serving else []
        if not before:
            present = f"version {serving.version}" if serving else "now"
            raise Refusal(
                f"There is nothing to go back to: {name} had no champion before {present}."
            )
        registered(name, before[-1])
        _crown(client, _version(client, name, before[-1]), before[:-1])
    return before[-1]


def _crown(client: Any, version: Any, before: Sequence[str]) -> None:
    """Note when and after whom a version becomes champion, then let it be.

    Killed in between, the champion stays.
    """
    since = [*_reigns(version).since, datetime.now(UTC).isoformat(timespec="seconds")]
    note = json.dumps({"since": since, "before": before[-100:]})
    client.set_model_version_tag(version.name, version.version, "champion", note)
    client.set_registered_model_alias(version.name, "champion", version.version)


def _reigns(version: Any) -> Reigns:
    """The reigns of a version, which MLflow keeps in its tag `champion`."""
    return Reigns(**json.loads(version.tags.get("champion", "{}")))


def _champion(client: Any, name: str) -> Any:
    """The version that is champion as MLflow keeps it, or None."""
    serves = "champion" in _aliases(client, name)
    return _version(client, name, "champion") if serves else None


def _aliases(client: Any, name: str) -> dict[str, str]:
    """The number of the version that bears each alias; refused where none is registered."""
    import mlflow

    try:
        model = client.get_registered_model(name)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise Refusal(
            f"No release of {name!r} is registered: run the task to its end first."
        ) from None
    return {alias: str(number) for alias, number in model.aliases.items()}


def _version(client: Any, name: str, which: str) -> Any:
    """The version of that number or alias as MLflow keeps it."""
    names = _aliases(client, name)
    found = {str(v.version): v for v in client.search_model_versions(f"name = '{name}'")}
    number = names.get(which, which)
    if number not in found:
        known = ", ".join([*names, *sorted(found, key=int)])
        raise Refusal(
            f"No release of {name!r} bears the alias {which!r} or is the version of that number; "
            f"there are: {known}."
        )
    return found[number]
