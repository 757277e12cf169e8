"""What a champion is held against: rows that it learned from, and what its holdout promised."""

import json
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..data.joins import inputs
from ..data.window import Window, window_of
from ..decision.target import losses
from ..errors import Refusal
from ..model.registry import place_of
from ..model.release import Release
from ..store.files import write_frame
from ..store.run import reports
from .traffic import told

USUAL = 8000  # rows of the training part that a window is held against, as in 04


class Promise(NamedTuple):
    """What a release learned from and promised: rows of its training part, strongest columns first, and its holdout as `judged` gives it."""

    inputs: pd.DataFrame
    holdout: pd.DataFrame


def promise(release: Release) -> Promise:
    """What the release is held against; made of its run once, then kept beside it, so that the run may go."""
    base = place_of(release.digest)
    places = [base.with_name(f"{base.name}.{name}.parquet") for name in Promise._fields]
    if not all(place.exists() for place in places):
        for place, frame in zip(places, _made(release), strict=True):
            write_frame(place, frame)
    return Promise(*(pd.read_parquet(place) for place in places))


def _made(release: Release) -> Promise:
    """The promise from the files of the run that made the release."""
    files, task = reports() / release.card["run"] / "files", release.task()
    if not (files / "scores.parquet").exists():
        raise Refusal(
            f"The run {release.card['run']} of the release is gone, so its training part is unknown: retrain, or bring back {files}."
        )
    development, holdout, scores = (
        pd.read_parquet(files / f"{name}.parquet") for name in ("dataset", "holdout", "scores")
    )
    strengths = json.loads((files / "dataset.json").read_text(encoding="utf-8"))["strengths"]
    table = inputs(task, development.sample(min(len(development), USUAL), random_state=0))
    strongest = [c for c in strengths if c in table]
    kept = judged(
        task,
        holdout,
        scores.filter(regex="^release_score").to_numpy(),
        scores["release_decision"].to_numpy(),
        scores["release_value"].to_numpy(),
        release.card["classes"],
    )
    return Promise(
        table[[*strongest, *table.columns.difference(strongest, sort=False)]].reset_index(
            drop=True
        ),
        kept,
    )


def judged(
    task: Any,
    rows: pd.DataFrame,
    scores: np.ndarray,
    actions: np.ndarray,
    worth: np.ndarray,
    classes: list[str],
) -> pd.DataFrame:
    """Score(s), decision and worth of each row, and where the worth gives the outcome away loss and outcome less score."""
    truth = told(task, rows, actions, worth, classes)
    known = ~np.isnan(truth)
    columns = scores.reshape(len(rows), -1)
    frame = (
        pd.DataFrame(columns)
        .add_prefix("score ")
        .assign(
            decision=pd.Series(actions).astype(str),
            worth=np.asarray(worth, dtype=float),
            loss=np.nan,
            gap=np.nan,
        )
    )
    if known.any():
        happened, said = (
            truth[known].astype(int),
            columns[known].squeeze(axis=1) if columns.shape[1] == 1 else columns[known],
        )
        window = window_of(rows[known], said, happened, losses(task, said, happened, classes))
        frame.loc[known, "loss"], frame.loc[known, "gap"] = window.losses, window.gaps
    return frame


def window_from(rows: pd.DataFrame, scored: pd.DataFrame, judged: pd.DataFrame) -> Window:
    """Rows of inputs, columns of scores, and losses and gaps of judged rows as drift is asked of them."""
    known, scores = judged.dropna(subset=["loss"]), scored.filter(regex="^score ")
    return Window(
        rows,
        scores if len(scores) else None,
        *((known["loss"].to_numpy(), known["gap"].to_numpy()) if len(known) else (None, None)),
    )
