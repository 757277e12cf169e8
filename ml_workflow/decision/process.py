"""Everything that decides is a process: the one in use today, a constant, a release."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..task.definition import CurrentProcess
from .expressions import evaluate
from .kinds import Array, Kind


@dataclass(frozen=True)
class Process:
    """Anything that decides: `score(frame)` gives scores, `decide(frame, scores)` actions."""

    name: str
    score: Callable[[pd.DataFrame], Array]
    decide: Callable[[pd.DataFrame, Array], Array]


def recorded(rule: CurrentProcess, frame: pd.DataFrame) -> Array:
    """What a process's column or expression gives for each row, shape (n,); missing for nothing."""
    if rule.column:
        return np.asarray(frame[rule.column])
    place = "current_process.decide"
    return np.asarray(evaluate({place: rule.decide}, frame)[place])


def current_process(kind: Kind, development: pd.DataFrame) -> Process:
    """The process in use today; where the task names none, the best constant one on these rows."""
    rule = kind.task.current_process
    if rule is None:
        return constant_process(kind, development)
    usual = usual_action(kind, development) or 0.0

    def decide(frame: pd.DataFrame) -> Array:
        return kind.actions(recorded(rule, frame), usual)

    return Process("current", lambda frame: kind.certain(decide(frame)), lambda f, _: decide(f))


def constant_process(kind: Kind, development: pd.DataFrame) -> Process:
    """The best constant decision on these rows: what anybody could do who does not look."""
    action = best_constant(kind, development)
    score = kind.constant_score(kind.outcomes(development), action)
    dtype = kind.choose(object, float)

    def scores(frame: pd.DataFrame) -> Array:
        return np.broadcast_to(score, (len(frame), *score.shape)).astype(float)

    return Process("constant", scores, lambda frame, _: np.full(len(frame), action, dtype=dtype))


def best_constant(kind: Kind, development: pd.DataFrame) -> Any:
    """The action that earns most on these rows when it is taken for all of them."""
    outcomes = kind.outcomes(development)
    actions = kind.constant_actions(outcomes)
    same = [np.full(len(outcomes), action, dtype=object) for action in actions]
    earned = [kind.value(development, each, outcomes).mean() for each in same]
    return actions[int(np.argmax(earned))]


def usual_action(kind: Kind, development: pd.DataFrame) -> Any:
    """The action where the current process gives none; without a process the best constant one."""
    if kind.task.current_process is None:
        return best_constant(kind, development)
    return kind.usual_action(kind.outcomes(development))
