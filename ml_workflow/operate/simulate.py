"""Months of traffic from a table, with drift put in on purpose, into a decisions database: so that detection can be seen."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from ..define import outcome, value
from ..errors import Refusal
from ..store.decisions import Decision, Outcome, Request, keep, keep_outcomes
from ..store.release import Release
from .monitor import waiting

MONTH = 30 * 86400.0
BATCH = 2000  # decisions in one transaction
Drift = Callable[[pd.DataFrame, np.ndarray, float, np.random.Generator], tuple[pd.DataFrame, np.ndarray]]
"""Rows and truth with a drift of a size from 0 (none) to 1 put in."""


class Plan(NamedTuple):
    """What is played: months of so many decisions each, a drift that grows to its size, and the share left to chance."""

    months: int = 6
    decisions: int = 5000
    drift: str = "none"
    size: float = 1.0
    explore: float = 0.0
    begin: float = 1_735_689_600.0  # 2025-01-01 UTC


def numbers(rows: pd.DataFrame, contract: dict[str, Any]) -> list[str]:
    """The columns of numbers that the contract knows, in its order."""
    return [c for c, rule in contract.items() if rule["type"] in ("integer", "number") and c in rows]


def _shift(rows: pd.DataFrame, column: str, deviations: float) -> pd.DataFrame:
    """A column moved by so many of its standard deviations, kept within its range and whole where it was."""
    old = rows[column]
    moved = (old + deviations * old.std()).clip(old.min(), old.max())
    return rows.assign(**{column: moved.round().astype(old.dtype) if pd.api.types.is_integer_dtype(old) else moved})


def drifts(contract: dict[str, Any]) -> dict[str, Drift]:
    """The kinds of drift by name; columns are the first number of the contract."""

    def covariate(rows: pd.DataFrame, truth: np.ndarray, size: float, _: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
        return _shift(rows, numbers(rows, contract)[0], size), truth

    def concept(rows: pd.DataFrame, truth: np.ndarray, size: float, chance: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
        turned = chance.random(len(rows)) < size  # of these the outcome is another row's: the inputs say nothing of it
        mixed = truth.copy()
        mixed[turned] = chance.permutation(truth[turned])
        return rows, mixed

    def broken(rows: pd.DataFrame, truth: np.ndarray, size: float, chance: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
        column = numbers(rows, contract)[0]
        lost = chance.random(len(rows)) < size
        return rows.assign(**{column: rows[column].where(~lost, rows[column].min())}), truth

    return {"none": lambda rows, truth, *_: (rows, truth), "covariate": covariate, "concept": concept, "seasonal": covariate, "broken": broken}


def strength(plan: Plan, month: int) -> float:
    """How strong the drift is in a month: seasonal ones follow the year, a broken column breaks halfway, others grow evenly."""
    if plan.drift == "seasonal":
        return float(plan.size * np.sin(2 * np.pi * month / 12))
    if plan.drift == "broken":
        return plan.size if month >= plan.months / 2 else 0.0
    return plan.size * month / max(plan.months - 1, 1)


def simulate(engine: sa.Engine, version: str, release: Release, table: pd.DataFrame, plan: Plan, seed: int = 0, first: int = 0, last: int | None = None) -> pd.DataFrame:
    """Play the months from `first` until before `last`; a row a month: month, drift, decisions, money a decision of the champion.

    Each decision is the release's, of a row drawn from the table, or left to chance; outcomes arrive when the task says.
    """
    kinds = drifts(release.contract)
    if plan.drift not in kinds:
        raise Refusal(f"The drift is {plan.drift!r}: give {', '.join(kinds)}.")
    shown = []
    for month in range(first, plan.months if last is None else last):
        chance = np.random.default_rng([seed, month])
        drawn = table.iloc[chance.integers(0, len(table), plan.decisions)].reset_index(drop=True)
        size = strength(plan, month)
        rows, truth = kinds[plan.drift](drawn, outcome(release.task(), drawn), size, chance)
        times = plan.begin + month * MONTH + np.sort(chance.random(plan.decisions)) * MONTH
        earned = play(engine, version, release, rows, truth, times, plan.explore, chance, f"{seed}-{month}")
        shown.append({"month": month + 1, "drift": size, "decisions": plan.decisions, "money": earned})
    return pd.DataFrame(shown)


def play(engine: sa.Engine, version: str, release: Release, rows: pd.DataFrame, truth: np.ndarray, times: np.ndarray, explore: float, chance: np.random.Generator, name: str) -> float:
    """Decide rows and let their outcomes arrive, in bulk, by the functions that the API uses; what a decision of the release earned."""
    task = release.task()
    scores = np.asarray(release.score(rows))
    best = np.asarray(release.decide(rows, scores))
    served, likely = explored(task, best, explore, chance)
    worth = value(task, rows, served, truth)
    given = json.loads(rows[list(release.contract)].to_json(orient="records", date_format="iso", double_precision=15))
    decided = [
        Decision(unit=f"{name}-{i}", row=row, version=version, score=score, action=str(action), time=float(moment), propensity=float(share), id=f"{name}-{i}")
        for i, (row, score, action, moment, share) in enumerate(zip(given, scores.tolist(), served, times, likely, strict=True))
    ]  # fmt: skip
    late = waiting(task) * (0.5 + 0.5 * chance.random(len(rows)))
    came = [Outcome(float(w), float(t + d), float(t + d), decision=one.id) for one, w, t, d in zip(decided, worth, times, late, strict=True)]
    for start in range(0, len(decided), BATCH):
        keep(engine, [Request(decided[start : start + BATCH])])
        keep_outcomes(engine, came[start : start + BATCH])
    return float(value(task, rows, best, truth).mean())


def explored(task: Any, best: np.ndarray, explore: float, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Actions of which a share is left to chance, and the propensity of each."""
    if not explore or task.target.kind == "regression":
        return best, np.ones(len(best))
    actions = np.unique(best) if task.target.kind == "multiclass" else np.array(["act", "leave"], dtype=object)
    served = np.where(chance.random(len(best)) < explore, actions[chance.integers(0, len(actions), len(best))], best)
    return served, np.where(served == best, 1 - explore + explore / len(actions), explore / len(actions))
