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
    """Rows of a training part, strongest columns first, and the `evaluation` of the holdout."""

    inputs: pd.DataFrame
    holdout: pd.DataFrame

    @property
    def scores(self) -> pd.DataFrame:
        """The holdout's scores, a column each."""
        return self.holdout.filter(regex="^score ")

    @property
    def window(self) -> Window:
        """The reference window that drift is measured from."""
        return window_from(self.inputs, self.scores, self.holdout)


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
    decisions = pd.DataFrame(
        {
            "score": scores.filter(regex="^release_score").to_numpy().tolist(),
            "action": scores["release_decision"],
            "value": scores["release_value"],
        }
    )
    return Reference(
        table[[*strongest, *others]].reset_index(drop=True),
        evaluation(release.kind, holdout, decisions),
    )


def score_columns(decisions: pd.DataFrame) -> pd.DataFrame:
    """The score(s) of decisions as columns `score 0` and so on."""
    return pd.DataFrame(decisions["score"].tolist(), dtype=float).add_prefix("score ")


def evaluation(kind: Kind, rows: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """The scores, action and value of each decision, and its loss and residual.

    Decisions have score, action and value. A residual is outcome less score; both are missing
    where the value does not give the outcome away.
    """
    scores, classes = score_columns(decisions), class_indices(kind, rows, decisions)
    parts = [scores, decisions[["action", "value"]].reset_index(drop=True)]
    frame = pd.concat(parts, axis=1).assign(loss=np.nan, residual=np.nan)
    known = ~np.isnan(classes)
    if known.any():
        own, outcomes = scores[known].to_numpy(), classes[known].astype(int)
        own = own[:, 0] if own.shape[1] == 1 else own
        window = window_of(rows[known], own, outcomes, kind.losses(own, outcomes))
        frame.loc[known, "loss"], frame.loc[known, "residual"] = window.losses, window.gaps
    return frame


def window_from(inputs: pd.DataFrame, scores: pd.DataFrame, outcomes: pd.DataFrame) -> Window:
    """Rows of inputs, scores, and an evaluation's losses and residuals, to be compared."""
    known = outcomes.dropna(subset=["loss"])
    losses, residuals = known["loss"].to_numpy(), known["residual"].to_numpy()
    return Window(inputs, scores if len(scores) else None, losses, residuals)
