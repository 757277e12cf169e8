"""Releases by version and alias, in MLflow: on var/mlflow.db, or on any server that MLFLOW_TRACKING_URI names."""

import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..errors import Refusal
from ..store.address import first_line
from ..store.files import root
from .release import Release, contents, digest_of, load_release

TYPES = {
    "integer": "long",
    "number": "double",
    "boolean": "boolean",
    "time": "datetime",
    "text": "string",
}
"""The contract's types as MLflow's."""


@contextmanager
def _registry() -> Iterator[Any]:
    """MLflow's client; what it cannot do, and a registry that is down or locked, end in one sentence."""
    for setting, usual in {
        "DISABLE_TELEMETRY": "true",
        "HTTP_REQUEST_MAX_RETRIES": "2",
        "ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }.items():
        os.environ.setdefault(f"MLFLOW_{setting}", usual)
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
        said = f"The registry {address} does not do what was asked of it ({first_line(error)}): see that it runs, is not locked and takes writes, then try again."
        raise Refusal(re.sub(r"//[^/@\s]*@", "//***@", said)) from None


def _experiment(client: Any, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    return str(
        experiment.experiment_id
        if experiment
        else client.create_experiment(name, artifact_location=_place(client.tracking_uri, name))
    )


def _place(address: str, name: str) -> str | None:
    """Where a model's files go: beside a SQLite database; a server has a place of its own."""
    return (
        (Path(address.removeprefix("sqlite:///")).absolute().parent / "mlruns" / name).as_uri()
        if address.startswith("sqlite:")
        else None
    )


class Entry(NamedTuple):
    """A run as MLflow lists it; its tags tell it from others."""

    experiment: str
    run: str
    parameters: dict[str, Any]
    figures: dict[str, float]
    tags: dict[str, str]


def log(entries: list[Entry]) -> None:
    """Log runs that MLflow does not have yet."""
    with _registry() as client:
        for entry in entries:
            number = _experiment(client, entry.experiment)
            same = " and ".join(f"tags.{name} = '{value}'" for name, value in entry.tags.items())
            if not client.search_runs([number], same, max_results=1):
                _log(client, number, entry)


def _log(client: Any, experiment: str, entry: Entry) -> Any:
    """A new run with its parameters, figures and tags, as MLflow keeps it."""
    from mlflow.entities import Metric, Param

    run = client.create_run(experiment, run_name=entry.run, tags=entry.tags)
    parameters = [Param(name, str(value)) for name, value in entry.parameters.items()]
    figures = [Metric(name, value, run.info.start_time, 0) for name, value in entry.figures.items()]
    client.log_batch(run.info.run_id, figures, parameters)
    client.set_terminated(
        run.info.run_id, "FAILED" if entry.tags.get("outcome") == "failed" else "FINISHED"
    )
    return run


class Version(NamedTuple):
    """A registered release; `champion_since` is when it last became champion, None for one that never was."""

    number: str
    aliases: list[str]
    run: str
    digest: str
    created: datetime
    figures: dict[str, float]
    champion_since: datetime | None


def register(
    name: str,
    folder: Path,
    digest: str,
    parameters: dict[str, Any],
    figures: dict[str, float],
    tags: dict[str, str],
) -> str:
    """Log a release under its model's name and give it the alias `challenger`; the version's number."""
    with _registry() as client:
        run = _log(
            client,
            _experiment(client, name),
            Entry(name, tags.get("run", ""), parameters, figures, tags),
        )
        client.log_artifacts(run.info.run_id, str(folder), "model/release")
        with tempfile.TemporaryDirectory() as place:
            _describe(Path(place), folder, run.info.run_id)
            client.log_artifacts(run.info.run_id, place, "model")
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        version = client.create_model_version(
            name, f"{run.info.artifact_uri}/model", run.info.run_id, tags={**tags, "digest": digest}
        )
        client.set_registered_model_alias(name, "challenger", version.version)
    return str(version.version)


def _describe(place: Path, folder: Path, run: str) -> None:
    """What MLflow's pages show of a release: its signature, by the contract, and the libraries that it needs."""
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    contract, card = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("contract.json", "release.json")
    )
    promised = pd.read_parquet(folder / "examples.parquet").filter(regex="^promised_")
    inputs = Schema(
        [
            ColSpec(TYPES[rule["type"]], name, required=not rule["nullable"])
            for name, rule in contract.items()
        ]
    )
    outputs = Schema([ColSpec("double", f"score_{i}") for i in range(promised.shape[1])])
    model = Model("model", run, signature=ModelSignature(inputs, outputs))
    model.add_flavor("ml_workflow", release="release")
    model.save(str(place / "MLmodel"))
    lines = [f"{library}=={version}\n" for library, version in card.get("requirements", {}).items()]
    (place / "requirements.txt").write_text("".join(lines), encoding="utf-8")


def versions(name: str) -> list[Version]:
    """The registered releases of a task, the newest first."""
    with _registry() as client:
        aliases = _model(client, name).aliases
        found = client.search_model_versions(f"name = '{name}'")
        figures = {v.version: client.get_run(v.run_id).data.metrics for v in found}
    made = [
        Version(
            str(v.version),
            sorted(a for a, number in aliases.items() if str(number) == str(v.version)),
            v.tags.get("run", ""),
            v.tags.get("digest", ""),
            datetime.fromtimestamp(v.creation_timestamp / 1000, UTC),
            figures[v.version],
            _since(v),
        )
        for v in found
    ]
    return sorted(made, key=lambda v: -int(v.number))


def aliases(name: str) -> dict[str, str]:
    """The number of the version that bears each alias."""
    with _registry() as client:
        return {alias: str(number) for alias, number in _model(client, name).aliases.items()}


def registered(name: str, which: str) -> Release:
    """The release that bears an alias or a version number, checked against the digest that the registry keeps."""
    with _registry() as client:
        version = _version(client, name, which)
        digest = version.tags.get("digest", "")
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise Refusal(
                f"Version {version.version} of {name} was not registered by ml-workflow, which keeps a digest: it is not loaded."
            )
        folder = place_of(digest)
        if not folder.exists():
            _fetch(f"{version.source}/release", folder, digest)
    return load_release(folder, digest)


def champion(name: str) -> tuple[str, Release]:
    """The champion of a task as TASK/NUMBER, and its release."""
    number = aliases(name).get("champion")
    if number is None:
        raise Refusal(
            f"No version of {name} is champion: `ml-workflow promote {name} challenger` lets the newest serve."
        )
    return f"{name}/{number}", registered(name, number)


def place_of(digest: str) -> Path:
    """The folder of a release that was fetched from the registry."""
    return root() / "var" / "releases" / digest


def tasks() -> list[str]:
    """The names of the tasks that have a registered release."""
    with _registry() as client:
        return sorted(model.name for model in client.search_registered_models())


def _fetch(source: str, folder: Path, digest: str) -> None:
    """Copy a release from where MLflow keeps it to its place in var/releases, whole or not at all."""
    import mlflow

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as place:
        try:
            copy = Path(mlflow.artifacts.download_artifacts(source, dst_path=place))
        except (mlflow.exceptions.MlflowException, OSError):
            raise Refusal(
                f"The release in {source} cannot be fetched: bring it back to where MLflow keeps it, or release again."
            ) from None
        if digest_of(contents(copy)) != digest:
            raise Refusal(
                f"The release in {source} is not what was registered (registered {digest[:12]}): it is not loaded."
            )
        if not folder.exists():
            copy.rename(folder)


def promote(name: str, which: str) -> Version:
    """Make a version champion, once it was loaded and kept its promise; the champions before it are noted with it."""
    registered(name, which)
    with _registry() as client:
        version, serving = _version(client, name, which), _champion(client, name)
        if serving is None or version.version != serving.version:
            _crown(
                client,
                version,
                [*_reign(serving)["before"], str(serving.version)] if serving else [],
            )
    return next(v for v in versions(name) if v.number == str(version.version))


def rollback(name: str) -> Version:
    """Make the champion before the present one champion again, once it was loaded and kept its promise."""
    with _registry() as client:
        serving = _champion(client, name)
        before = _reign(serving)["before"] if serving else []
    if not before:
        raise Refusal(
            f"There is nothing to go back to: {name} had no champion before {f'version {serving.version}' if serving else 'now'}."
        )
    registered(name, before[-1])
    with _registry() as client:
        _crown(client, _version(client, name, before[-1]), before[:-1])
    return next(v for v in versions(name) if v.number == before[-1])


def _crown(client: Any, version: Any, before: list[str]) -> None:
    """Note when and after whom a version becomes champion, then let it be; killed in between, the champion stays."""
    since = [*_reign(version)["since"], datetime.now(UTC).isoformat(timespec="seconds")]
    client.set_model_version_tag(
        version.name,
        version.version,
        "champion",
        json.dumps({"since": since, "before": before[-100:]}),
    )
    client.set_registered_model_alias(version.name, "champion", version.version)


def _reign(version: Any) -> dict[str, list[str]]:
    """When a version became champion, and which versions were it before, the latest last."""
    return dict(json.loads(version.tags.get("champion", '{"since": [], "before": []}')))


def _since(version: Any) -> datetime | None:
    times = _reign(version)["since"]
    return datetime.fromisoformat(times[-1]) if times else None


def _champion(client: Any, name: str) -> Any:
    """The version that is champion as MLflow keeps it, or None."""
    return (
        _version(client, name, "champion") if "champion" in _model(client, name).aliases else None
    )


def _model(client: Any, name: str) -> Any:
    import mlflow

    try:
        return client.get_registered_model(name)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise Refusal(
            f"No release of {name!r} is registered: run the task to its end first."
        ) from None


def _version(client: Any, name: str, which: str) -> Any:
    """The version of that number or alias as MLflow keeps it."""
    aliases = {alias: str(number) for alias, number in _model(client, name).aliases.items()}
    found = {str(v.version): v for v in client.search_model_versions(f"name = '{name}'")}
    number = aliases.get(which, which)
    if number not in found:
        there = ", ".join([*aliases, *sorted(found, key=int)])
        raise Refusal(
            f"No release of {name!r} bears the alias {which!r} or is the version of that number; there are: {there}."
        )
    return found[number]
