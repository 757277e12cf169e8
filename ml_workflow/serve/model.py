"""The release that serves: its columns, its quick path, and how it follows the champion."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..errors import Refusal
from ..store.registry import bearer_of, registered
from ..store.release import Release
from .compiled import Score, scorer
from .rows import Column, Row, columns_of, frame


@dataclass(frozen=True)
class Model:
    """A version of a task's release, ready to serve; `path` says how it scores (compiled or pipeline)."""

    name: str
    version: str
    release: Release
    columns: list[Column]
    score: Score
    path: str

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
        return [{"score": self.told(score), "decision": action, "version": self.version} for score, action in zip(scores.tolist(), actions.tolist(), strict=True)]

    def told(self, score: Any) -> Any:
        """A row's score as the API says it: a number, or the chance of each class by name."""
        return dict(zip(self.release.card["classes"], score, strict=True)) if isinstance(score, list) else score

    @cached_property
    def actions(self) -> list[str]:
        """What can be decided; empty where it is a number."""
        return list(self.release._module("define").amounts(self.release.task(), self.release.card["classes"])) if self.release.card["classes"] else []


def loaded(name: str, which: str) -> Model:
    """The version of a task's release that bears an alias or a number, ready to serve; refused where it does not load."""
    version, _ = bearer_of(name, which)
    release = registered(name, version)
    columns = columns_of(release)
    return Model(name, version, release, columns, *scorer(release, columns))


class Champion:
    """The model that bears an alias, followed: a new one is loaded beside the old and takes its place at once."""

    def __init__(self, name: str, which: str = "champion", every: float = 1.0) -> None:
        self.name, self.which, self.every = name, which, every
        self.model = loaded(name, which)
        self.fault = ""
        self._stop = threading.Event()

    def follow(self) -> None:
        """Look for a new champion again and again, until `close`."""
        threading.Thread(target=self._follow, name="champion", daemon=True).start()

    def close(self) -> None:
        """Follow no longer."""
        self._stop.set()

    def _follow(self) -> None:
        while not self._stop.wait(self.every):
            said = self._turn()
            if said and said != self.fault:
                logging.getLogger("ml_workflow.serve").warning(said)
            self.fault = said

    def _turn(self) -> str:
        """Take the new champion if there is one; what went wrong, while the old one serves on."""
        try:
            version, _ = bearer_of(self.name, self.which)
            if version != self.model.version:
                self.model = loaded(self.name, version)
        except Refusal as refusal:
            return str(refusal)
        except Exception as error:  # a thread that ended would leave an old version serving for good
            return f"The champion could not be looked up: {type(error).__name__}."
        return ""


