"""Months of traffic from a table, with drift put in on purpose, to see how it is detected."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from ..errors import Refusal
from ..model.registry import champion, place_of, promote, register
from ..model.release import Release
from ..run.notebooks import Parameters
from ..serve.decide import explore
from ..store.database import insert_frames, new_decisions, open_decisions
from .monitor import monitor
from .reference import reference_of
from .retrain import retrain

MONTH = 30 * 86400.0
QUARTER = 3  # months from a retraining to the next, so that most of what it learns from is new
NOISE = 1e-3
"""Share by which fine numbers vary, so that rows drawn again are no copies.

The smoothed bootstrap of Silverman & Young 1987.
"""
EXPLORE = 0.02
"""Share left to chance where a simulation retrains.

Enough to see a change where decisions hide it, and it costs money.
"""


class Arrivals(NamedTuple):
    """Rows that arrive in a month, and the outcome of each, shape (n,)."""

    rows: pd.DataFrame
    outcomes: np.ndarray


Change = Callable[[Arrivals, str, float, np.random.Generator], Arrivals]
"""Arrivals changed in a column by a size, with a generator for what is left to chance."""


class Drift(NamedTuple):
    """A change, and the share of its size that is reached in a month (from 0) of so many."""

    change: Change
    share: Callable[[int, int], float] = lambda month, months: month / max(months - 1, 1)


def shift_inputs(arrivals: Arrivals, column: str, size: float, _: np.random.Generator) -> Arrivals:
    """The column moved by so many of its standard deviations, within its range."""
    old = arrivals.rows[column]
    new = (old + size * old.std()).clip(old.min(), old.max())
    return arrivals._replace(rows=arrivals.rows.assign(**{column: as_whole(new, old)}))


def turn_outcomes(arrivals: Arrivals, column: str, size: float, _: np.random.Generator) -> Arrivals:
    """Outcomes turned round for the share of rows that are highest in the column."""
    upper = arrivals.rows[column].rank(pct=True, method="first").to_numpy() > 1 - size
    turned = turned_round(arrivals.outcomes)
    return arrivals._replace(outcomes=np.where(upper, turned, arrivals.outcomes))


def break_column(
    arrivals: Arrivals, column: str, size: float, rng: np.random.Generator
) -> Arrivals:
    """The column at its least value for a share of the rows."""
    rows = arrivals.rows
    kept = rng.random(len(rows)) >= size
    values = rows[column].where(kept, rows[column].min())
    return arrivals._replace(rows=rows.assign(**{column: values}))


DRIFTS = {
    "none": Drift(lambda arrivals, *_: arrivals, lambda *_: 0.0),
    "covariate": Drift(shift_inputs),
    "concept": Drift(turn_outcomes),
    "seasonal": Drift(shift_inputs, lambda month, _: float(np.sin(2 * np.pi * month / 12))),
    "broken": Drift(break_column, lambda month, months: float(month >= months / 2)),
}
"""Drifts by name: all grow evenly, but for one that follows the year and one halfway through."""


def drift_named(name: str) -> Drift:
    """The drift of this name, or a Refusal."""
    if name not in DRIFTS:
        raise Refusal(f"The drift is {name!r}: give {', '.join(DRIFTS)}.")
    return DRIFTS[name]


def as_whole(values: "pd.Series[Any]", like: "pd.Series[Any]") -> "pd.Series[Any]":
    """Numbers, rounded where those of another column are whole."""
    return values.round().astype(like.dtype) if pd.api.types.is_integer_dtype(like) else values


def turned_round(outcomes: np.ndarray) -> np.ndarray:
    """Numbers and two classes turned about their middle, several classes to the next one."""
    if outcomes.dtype != object:
        return np.asarray(outcomes.min() + outcomes.max() - outcomes)
    classes, index = np.unique(outcomes, return_inverse=True)
    return np.roll(classes, -1)[index]


class Scenario(NamedTuple):
    """Months of so many decisions each on a table's rows, with a drift, from `begin` on.

    `size` is the drift's, `explore` the share left to chance; the same seed gives the same traffic.
    """

    table: pd.DataFrame
    months: int = 6
    decisions: int = 5000
    drift: Drift = DRIFTS["none"]
    size: float = 1.0
    explore: float = 0.0
    seed: int = 0
    begin: float = 1_735_689_600.0  # 2025-01-01 UTC, in seconds since 1970

    def strength(self, month: int) -> float:
        """How strong the drift is in a month, counted from 0."""
        return self.size * self.drift.share(month, self.months)

    def arrivals(self, release: Release, month: int) -> Arrivals:
        """A month's rows of the table, drawn again and again, with the drift in them."""
        rng, numeric = np.random.default_rng([self.seed, month]), release.contract.numeric
        drawn = rng.integers(0, len(self.table), self.decisions)
        rows = self.table.iloc[drawn].reset_index(drop=True)
        for column in numeric:
            if self.table[column].nunique() > len(self.table) / 10:
                near = rows[column] * (1 + NOISE * rng.standard_normal(len(rows)))
                rows[column] = as_whole(near, rows[column])
        arrivals, size = Arrivals(rows, release.kind.outcomes(rows)), self.strength(month)
        return self.drift.change(arrivals, next(iter(numeric), ""), size, rng)


class Month(NamedTuple):
    """A simulated month: its number from 1, the drift's strength, and what a decision earned.

    With what monitoring found, and what came of a retraining, in a sentence.
    """

    number: int
    drift: float
    money: float
    findings: dict[str, str]
    retraining: str


def play(
    engine: sa.Engine, version: str, release: Release, scenario: Scenario, month: int
) -> float:
    """Decide a month's rows, or leave them to chance, and let outcomes arrive in the task's time.

    All stands in the decisions database; what a decision earned.
    """
    seed = scenario.seed
    rows, outcomes = scenario.arrivals(release, month)
    kind, rng, luck = (
        release.kind,
        np.random.default_rng([seed, month, 1]),
        Random(f"{seed} {month}"),
    )
    delays = release.task.target.delay * (0.5 + 0.5 * rng.random(len(rows)))
    times = scenario.begin + (month + np.sort(rng.random(len(rows)))) * MONTH
    scores = release.score(rows)
    best = release.decide(rows, scores)
    drawn = [explore(one, kind.decisions, scenario.explore, luck) for one in best]
    actions = np.array([action for action, _ in drawn], dtype=best.dtype)
    values = kind.value(rows, actions, outcomes)
    names = [f"{seed}-{month}-{i}" for i in range(len(rows))]
    given = rows[list(release.contract)].to_json(
        orient="records", date_format="iso", double_precision=15
    )
    decided = {
        "id": names,
        "unit": names,
        "row": json.loads(given),
        "version": version,
        "score": scores.tolist(),
        "action": actions.astype(str),
        "propensity": [propensity for _, propensity in drawn],
        "fallback": False,
        "time": times,
    }
    came = {
        "idempotency_key": names,
        "decision": names,
        "value": values,
        "event_time": times + delays,
        "arrival_time": times + delays,
    }
    insert_frames(engine, {"decisions": pd.DataFrame(decided), "outcomes": pd.DataFrame(came)})
    return float(values.mean())


@contextmanager
def sandbox(place: Path, task: str) -> Iterator[str]:
    """A registry, reports and an empty decisions database in a folder, with the real champion.

    Gives the database's URL; nothing outside the folder is written.
    """
    _, release = champion(task)
    reference_of(release)  # kept beside the release, so that it is known there too
    folder, tags = place_of(release.digest), {"run": release.card.run}
    before = dict(os.environ)
    new_decisions(place / "decisions.db").dispose()
    os.environ["ML_WORKFLOW_REPORTS"] = str(place / "reports")
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{place / 'mlflow.db'}"
    try:
        promote(task, register(task, folder, release.digest, {}, {}, tags))
        yield f"sqlite:///{place / 'decisions.db'}"
    finally:
        os.environ.clear()
        os.environ.update(before)


def simulate(
    url: str, name: str, scenario: Scenario, parameters: Parameters | None
) -> Iterator[Month]:
    """Play month after month and monitor each.

    With a retraining's parameters, retrain where something is found, at most once a quarter.
    """
    engine, last = open_decisions(url), -QUARTER
    for month in range(scenario.months):
        money = play(engine, *champion(name), scenario, month)
        now, reason = scenario.begin + (month + 1) * MONTH, ""
        findings = monitor(url, name, MONTH / 86400, now).findings
        if parameters is not None and findings and month - last >= QUARTER:
            reason, last = retrain(url, name, parameters, lambda *_: None, now).reason, month
        yield Month(month + 1, scenario.strength(month), money, findings, reason)
    engine.dispose()
