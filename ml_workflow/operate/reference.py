"""What a champion's decisions are held against: rows that it learned from, and its holdout."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from ..data.joins import inputs
from ..data.window import Window, window_of
from ..decision.kinds import Kind
from ..errors import Refusal
from ..model.registry import place_of
from ..model.release import Release
from ..store.files import read_json, write_frame
from ..store.run import reports
from .feedback import class_indices

ROWS = 8000  # rows of the training part that a window is held against, as in 04


class Reference(NamedTuple):
    """What a release learned from and what its holdout showed.

    `inputs` are rows of the training part, strongest columns first; `holdout` has score, action
    and value of each row, `losses` is what `losses_of` gives for it.
    """

    inputs: pd.DataFrame
    holdout: pd.DataFrame
    losses: pd.DataFrame

    @property
    def window(self) -> Window:
        """What a window of decisions is held against."""
        return Window(self.inputs, score_columns(self.holdout), self.losses)


def reference_of(release: Release) -> Reference:
    """The reference of a release.

    Made of its run once, then kept beside it, so that the run may go; refused where it is gone.
    """
    base = place_of(release.digest)
    places = [base.with_name(f"{base.name}.{name}.parquet") for name in Reference._fields]
    if not all(place.exists() for place in places):
        for place, frame in zip(places, _reference_of_run(release), strict=True):
            write_frame(place, frame)
    return Reference(*(pd.read_parquet(place) for place in places))


def _reference_of_run(release: Release) -> Reference:
    files = reports() / release.card.run / "files"
    if not (files / "scores.parquet").exists():
        raise Refusal(
            f"The run {release.card.run} of the release is gone, so its training part is unknown: "
            f"retrain, or bring back {files}."
        )
    development, holdout, scores = (
        pd.read_parquet(files / f"{name}.parquet") for name in ("dataset", "holdout", "scores")
    )
    table = inputs(release.task, development.sample(min(len(development), ROWS), random_state=0))
    strongest = [c for c in read_json(files / "dataset.json")["strengths"] if c in table]
    others = table.columns.difference(strongest, sort=False)
    own = scores.filter(regex="^release_score").to_numpy()
    decisions = pd.DataFrame(
        {
            "score": (own[:, 0] if own.shape[1] == 1 else own).tolist(),
            "action": scores["release_decision"],
            "value": scores["release_value"],
        }
    )
    rows = table[[*strongest, *others]].reset_index(drop=True)
    return Reference(rows, decisions, losses_of(release.kind, holdout, decisions))


def score_columns(decisions: pd.DataFrame) -> pd.DataFrame:
    """The score(s) of decisions as columns `score 0` and so on."""
    return pd.DataFrame(decisions["score"].tolist(), dtype=float).add_prefix("score ")


def losses_of(kind: Kind, rows: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """Loss and residual (outcome less score) of the decisions whose value gives the outcome away.

    Decisions have score, action and value.
    """
    classes = class_indices(kind, rows, decisions)
    known = ~np.isnan(classes)
    if not known.any():
        return Window(rows).losses
    scores, outcomes = np.array(decisions["score"][known].tolist()), classes[known].astype(int)
    return window_of(kind, rows[known], scores, outcomes).losses
