"""A version of a release, ready to serve: its columns, its quick path and its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..model.registry import registered
from ..model.release import Release
from .compiled import Score, scorer
from .rows import Column, Quick, Row, columns_of, frame


@dataclass(frozen=True)
class Model:
    """A version of a task's release, ready to serve; `path` says how it scores (compiled or pipeline)."""

    name: str
    version: str
    release: Release
    columns: list[Column]
    score: Score
    path: str

    @cached_property
    def quick(self) -> Quick:
        """The quick check of rows against the contract."""
        return Quick(self.columns)

    def frame(self, rows: Sequence[Row]) -> pd.DataFrame:
        """Sound rows as the release's frame."""
        return frame(self.columns, rows)

    def decided(self, raw: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Scores of a frame, and the actions of greatest expected value."""
        scores = np.asarray(self.score(raw))
        return scores, np.asarray(self.release.decide(raw, scores))

    def answers(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Score, decision and version of each sound row."""
        scores, actions = self.decided(self.frame(rows))
        return [
            {"score": self.told(score), "decision": action, "version": self.version}
            for score, action in zip(scores.tolist(), actions.tolist(), strict=True)
        ]

    def told(self, score: Any) -> Any:
        """A row's score as the API says it: a number, or the chance of each class by name."""
        return (
            dict(zip(self.release.card["classes"], score, strict=True))
            if isinstance(score, list)
            else score
        )

    @cached_property
    def actions(self) -> list[str]:
        """What can be decided; empty where it is a number."""
        return actions_of(self.release)


def actions_of(release: Release) -> list[str]:
    """What a release can decide; empty where it is a number."""
    return (
        list(release._module("define").amounts(release.task(), release.card["classes"]))
        if release.card["classes"]
        else []
    )


def loaded(name: str, version: str) -> Model:
    """A version of a task's release, ready to serve; refused where it does not load."""
    release = registered(name, version)
    columns = columns_of(release)
    return Model(name, version, release, columns, *scorer(release, columns))
