"""Releases by version and alias, in MLflow: on var/mlflow.db, or on any server that MLFLOW_TRACKING_URI names."""

import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Refusal
from .files import root
from .release import Release, load_release


def _client() -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    import mlflow

    (root() / "var").mkdir(exist_ok=True)
    address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'var' / 'mlflow.db'}"
    mlflow.set_tracking_uri(address)
    return mlflow.MlflowClient(address)


def _experiment(client: Any, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    return str(experiment.experiment_id if experiment else client.create_experiment(name, artifact_location=_place(client.tracking_uri, name)))


def _place(address: str, name: str) -> str | None:
    """Where a model's files go: beside a SQLite database; a server has a place of its own."""
    return (Path(address.removeprefix("sqlite:///")).absolute().parent / "mlruns" / name).as_uri() if address.startswith("sqlite:") else None


class Entry(NamedTuple):
    """A run as MLflow lists it; its tags tell it from others."""

    experiment: str
    run: str
    parameters: dict[str, Any]
    figures: dict[str, float]
    tags: dict[str, str]


def log(entries: list[Entry]) -> None:
    """Log runs that MLflow does not have yet."""
    client = _client()
    from mlflow.entities import Metric, Param

    for entry in entries:
        number = _experiment(client, entry.experiment)
        same = " and ".join(f"tags.{name} = '{value}'" for name, value in entry.tags.items())
        if not client.search_runs([number], same, max_results=1):
            run = client.create_run(number, run_name=entry.run, tags=entry.tags).info
            parameters = [Param(name, str(value)) for name, value in entry.parameters.items()]
            figures = [Metric(name, value, run.start_time, 0) for name, value in entry.figures.items()]
            client.log_batch(run.run_id, figures, parameters)
            client.set_terminated(run.run_id, "FAILED" if entry.tags.get("outcome") == "failed" else "FINISHED")


def register(name: str, folder: Path, digest: str, parameters: dict[str, Any], figures: dict[str, float], tags: dict[str, str]) -> str:
    """Log a release under its model's name and give it the alias `challenger`; the version's number."""
    client = _client()
    run = client.create_run(_experiment(client, name), run_name=tags.get("run"), tags=tags)
    for key, value in parameters.items():
        client.log_param(run.info.run_id, key, value)
    for key, figure in figures.items():
        client.log_metric(run.info.run_id, key, figure)
    client.log_artifacts(run.info.run_id, str(folder), "release")
    client.set_terminated(run.info.run_id)
    if not any(model.name == name for model in client.search_registered_models(f"name = '{name}'")):
        client.create_registered_model(name)
    version = client.create_model_version(name, f"{run.info.artifact_uri}/release", run.info.run_id, tags={**tags, "digest": digest})
    client.set_registered_model_alias(name, "challenger", version.version)
    return str(version.version)


def registered(name: str, alias: str) -> Release:
    """The release that bears the alias, checked against the digest that the registry keeps."""
    import mlflow

    client = _client()
    try:
        version = client.get_model_version_by_alias(name, alias)
    except mlflow.exceptions.MlflowException:
        raise Refusal(f"No release of {name!r} bears the alias {alias!r}: run the task to its end first.") from None
    folder = Path(mlflow.artifacts.download_artifacts(version.source))
    return load_release(folder, version.tags["digest"])
