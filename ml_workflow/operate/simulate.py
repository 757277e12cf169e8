"""Months of traffic from a table, with drift put in on purpose, into a place of their own: so that detection and recovery can be seen."""

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

from ..decision.target import outcome
from ..decision.value import value
from ..errors import Refusal
from ..experiments.plan import known_after
from ..model.registry import champion, place_of, promote, register
from ..model.release import Release
from ..run.chain import Tell
from ..serve.decide import explored
from ..serve.model import actions_of
from ..store.database import open as opened
from ..store.decisions import create, insert
from .monitor import monitor
from .reference import promise
from .retrain import retrain

MONTH = 30 * 86400.0
QUARTER = 3  # months from a retraining to the next, so that most of what it learns from is new
HAIR = 1e-3  # share by which fine numbers vary, so that rows drawn again are no copies (smoothed bootstrap, Silverman & Young 1987)
EXPLORE = 0.02  # share left to chance where a simulation retrains: enough to see a change where decisions hide it, and it costs money
Drift = Callable[
    [pd.DataFrame, np.ndarray, float, np.random.Generator], tuple[pd.DataFrame, np.ndarray]
]
"""Rows and truth with a drift of a size put in."""


class Plan(NamedTuple):
    """What is played: months of so many decisions each, a drift (by name, or a function) that grows to its size, and the share left to chance."""

    months: int = 6
    decisions: int = 5000
    drift: str | Drift = "none"
    size: float = 1.0
    explore: float = 0.0
    begin: float = 1_735_689_600.0  # 2025-01-01 UTC


class Traffic(NamedTuple):
    """A month's rows, what is true of each, when each is decided, and how strong the drift is."""

    rows: pd.DataFrame
    truth: np.ndarray
    times: np.ndarray
    strength: float


class Month(NamedTuple):
    """A month that was played: its number from 1, the drift's strength, what a decision earned, what monitoring found, and what retraining said."""

    number: int
    drift: float
    money: float
    found: dict[str, str]
    retrained: str


def numbers(rows: pd.DataFrame, contract: dict[str, Any]) -> list[str]:
    """The columns of numbers that the contract knows, in its order."""
    return [
        c for c, rule in contract.items() if rule["type"] in ("integer", "number") and c in rows
    ]


def drifts(contract: dict[str, Any]) -> dict[str, Drift]:
    """The kinds of drift by name; the column is the first number of the contract."""

    def covariate(
        rows: pd.DataFrame, truth: np.ndarray, size: float, _: np.random.Generator
    ) -> tuple[pd.DataFrame, np.ndarray]:
        column = numbers(rows, contract)[0]
        return rows.assign(**{column: _shifted(rows[column], size)}), truth

    def concept(
        rows: pd.DataFrame, truth: np.ndarray, size: float, _: np.random.Generator
    ) -> tuple[pd.DataFrame, np.ndarray]:
        upper = (
            rows[numbers(rows, contract)[0]].rank(pct=True, method="first").to_numpy() > 1 - size
        )
        return rows, np.where(upper, _turned(truth), truth)

    def broken(
        rows: pd.DataFrame, truth: np.ndarray, size: float, chance: np.random.Generator
    ) -> tuple[pd.DataFrame, np.ndarray]:
        column = numbers(rows, contract)[0]
        lost = chance.random(len(rows)) < size
        return rows.assign(**{column: rows[column].where(~lost, rows[column].min())}), truth

    return {
        "none": lambda rows, truth, *_: (rows, truth),
        "covariate": covariate,
        "concept": concept,
        "seasonal": covariate,
        "broken": broken,
    }


def _shifted(old: "pd.Series[Any]", deviations: float) -> "pd.Series[Any]":
    """A column moved by so many of its standard deviations, kept within its range and whole where it was."""
    moved = (old + deviations * old.std()).clip(old.min(), old.max())
    return moved.round().astype(old.dtype) if pd.api.types.is_integer_dtype(old) else moved


def _turned(truth: np.ndarray) -> np.ndarray:
    """Outcomes turned round: numbers and two classes about their middle, several classes to the next one."""
    if truth.dtype != object:
        return np.asarray(truth.min() + truth.max() - truth)
    classes = sorted(set(truth))
    following = dict(zip(classes, [*classes[1:], classes[0]], strict=True))
    return np.array([following[one] for one in truth], dtype=object)


def strength(plan: Plan, month: int) -> float:
    """How strong the drift is in a month: seasonal ones follow the year, a broken column breaks halfway, others grow evenly."""
    if plan.drift == "none":
        return 0.0
    if plan.drift == "seasonal":
        return float(plan.size * np.sin(2 * np.pi * month / 12))
    if plan.drift == "broken":
        return plan.size if month >= plan.months / 2 else 0.0
    return plan.size * month / max(plan.months - 1, 1)


def drawn(release: Release, table: pd.DataFrame, plan: Plan, seed: int, month: int) -> Traffic:
    """A month's traffic: rows of the table drawn again and again, with the drift in them."""
    kinds = drifts(release.contract)
    if isinstance(plan.drift, str) and plan.drift not in kinds:
        raise Refusal(f"The drift is {plan.drift!r}: give {', '.join(kinds)}.")
    drift = kinds[plan.drift] if isinstance(plan.drift, str) else plan.drift
    chance, size = np.random.default_rng([seed, month]), strength(plan, month)
    rows = table.iloc[chance.integers(0, len(table), plan.decisions)].reset_index(drop=True)
    for column in numbers(rows, release.contract):
        if table[column].nunique() > len(table) / 10:
            near = rows[column] * (1 + HAIR * chance.standard_normal(len(rows)))
            rows[column] = (
                near.round().astype(rows[column].dtype)
                if pd.api.types.is_integer_dtype(rows[column])
                else near
            )
    rows, truth = drift(rows, outcome(release.task(), rows), size, chance)
    return Traffic(
        rows,
        truth,
        plan.begin + month * MONTH + np.sort(chance.random(plan.decisions)) * MONTH,
        size,
    )


def simulate(
    engine: sa.Engine,
    version: str,
    release: Release,
    table: pd.DataFrame,
    plan: Plan,
    seed: int = 0,
    first: int = 0,
    last: int | None = None,
) -> list[float]:
    """Play the months from `first` until before `last` into the decisions database; what a decision earned in each."""
    months = range(first, plan.months if last is None else last)
    return [
        play(
            engine,
            version,
            release,
            drawn(release, table, plan, seed, month),
            plan.explore,
            seed,
            month,
        )
        for month in months
    ]


def play(
    engine: sa.Engine,
    version: str,
    release: Release,
    month: Traffic,
    explore: float,
    seed: int,
    number: int,
) -> float:
    """Decide a month's rows, or leave them to chance, and let outcomes arrive when the task says; what a decision earned."""
    task, chance, rows = release.task(), np.random.default_rng([seed, number, 1]), month.rows
    scores = np.asarray(release.score(rows))
    best, actions, luck = (
        np.asarray(release.decide(rows, scores)),
        actions_of(release),
        Random(f"{seed} {number}"),
    )
    chosen = [explored(one, actions, explore, luck) for one in best]
    served, likely = (
        np.array([action for action, _ in chosen], dtype=best.dtype),
        [share for _, share in chosen],
    )
    worth = value(task, rows, served, month.truth)
    names = [f"{seed}-{number}-{i}" for i in range(len(rows))]
    given = json.loads(
        rows[list(release.contract)].to_json(
            orient="records", date_format="iso", double_precision=15
        )
    )
    came = month.times + known_after(task) * (0.5 + 0.5 * chance.random(len(rows)))
    decided = {
        "id": names,
        "unit": names,
        "row": given,
        "version": version,
        "score": scores.tolist(),
        "action": [str(action) for action in served],
        "propensity": likely,
        "fallback": False,
        "time": month.times,
    }
    insert(
        engine,
        {
            "decisions": pd.DataFrame(decided),
            "outcomes": pd.DataFrame(
                {
                    "idempotency_key": names,
                    "decision": names,
                    "value": worth,
                    "event_time": came,
                    "arrival_time": came,
                }
            ),
        },
    )
    return float(worth.mean())


@contextmanager
def apart(place: Path, task: str) -> Iterator[str]:
    """A registry, reports and an empty decisions database of a simulation's own, with the real champion; the database's URL."""
    _, release = champion(task)
    promise(release)  # kept beside the release, so that it is known there too
    own = {
        "ML_WORKFLOW_REPORTS": str(place / "reports"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{place / 'mlflow.db'}",
    }
    before = {name: os.environ.get(name) for name in own}
    create(place / "decisions.db").dispose()
    os.environ |= own
    try:
        promote(
            task,
            register(
                task, place_of(release.digest), release.digest, {}, {}, {"run": release.card["run"]}
            ),
        )
        yield f"sqlite:///{place / 'decisions.db'}"
    finally:
        for name, old in before.items():
            os.environ.pop(name) if old is None else os.environ.update({name: old})


def months(
    url: str,
    name: str,
    table: pd.DataFrame,
    plan: Plan,
    seed: int,
    parameters: dict[str, dict[str, Any]] | None,
    tell: Tell,
) -> Iterator[Month]:
    """Play month after month and monitor each; with parameters, retrain where something is found, at most once a quarter."""
    engine, last = opened(url), -QUARTER
    for month in range(plan.months):
        version, release = champion(name)
        money = simulate(engine, version, release, table, plan, seed, month, month + 1)[0]
        now, said = plan.begin + (month + 1) * MONTH, ""
        found = monitor(url, name, MONTH / 86400, now).findings
        if parameters is not None and found and month - last >= QUARTER:
            said, last = retrain(url, name, parameters, tell, now).reason, month
        yield Month(month + 1, strength(plan, month), money, found, said)
    engine.dispose()
