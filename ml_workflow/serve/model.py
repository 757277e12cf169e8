"""A version of a release, ready to serve: its rows' schema, its quick path, its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..model.registry import registered
from ..model.release import Release
from .compiled import Score, scorer
from .rows import Row, RowSchema, row_schema


@dataclass(frozen=True)
class Model:
    """A version of a task's release; `path` says how it scores (compiled or pipeline)."""

    task: str
    version: str
    release: Release
    rows: RowSchema
    score: Score
    path: str

    def decide(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Scores of a raw frame, and the actions of greatest expected value."""
        scores = np.asarray(self.score(frame))
        return scores, np.asarray(self.release.decide(frame, scores))

    def predict(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Score, decision and version of each sound row, as the API says them."""
        scores, actions = self.decide(self.rows.frame(rows))
        return [
            {"score": self.score_as_json(score), "decision": action, "version": self.version}
            for score, action in zip(scores.tolist(), actions.tolist(), strict=True)
        ]

    def score_as_json(self, score: Any) -> Any:
        """A row's score as the API says it: a number, or each class's probability by name."""
        if isinstance(score, list):
            return dict(zip(self.release.card.classes, score, strict=True))
        return score


def load_model(task: str, version: str) -> Model:
    """A version of a task's release, ready to serve; refused where it does not load."""
    release = registered(task, version)
    rows = row_schema(release)
    return Model(task, version, release, rows, *scorer(release, rows))
