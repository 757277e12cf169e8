"""A release as MLflow's python_function: what `mlflow models serve` and others' platforms open."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .release import Release, load_release

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

TYPES = {
    "integer": "long",
    "number": "double",
    "boolean": "boolean",
    "time": "datetime",
    "text": "string",
}
"""The contract's types as MLflow's."""


class Decider:
    """What MLflow calls: rows in, scores and decisions out."""

    def __init__(self, release: Release) -> None:
        self.release = release

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Score(s) and decision of each row, in the rows' order and under their index."""
        rows = self.release.contract.typed(frame)
        scores = self.release.score(rows)
        columns = zip(self.release.kind.score_names, np.atleast_2d(scores.T), strict=True)
        decisions = self.release.decide(rows, scores)
        return pd.DataFrame({**dict(columns), "decision": decisions}, index=frame.index)


def _load_pyfunc(path: str, model_config: dict[str, str]) -> Decider:
    """The model of the release in a folder, which must be what was registered; MLflow calls it."""
    return Decider(load_release(Path(path), model_config["digest"]))


def signature(release: Release) -> "ModelSignature":
    """What `predict` takes, by the contract, and what it gives."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs: list[Any] = [ColSpec(TYPES[c.type], name) for name, c in release.contract.items()]
    scores = [ColSpec("double", name) for name in release.kind.score_names]
    decision = ColSpec(release.kind.choose("string", "double"), "decision")
    return ModelSignature(Schema(inputs), Schema([*scores, decision]))
