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
    """Anything that decides: `score(frame)` gives numbers, `decide(frame, scores)` one action a row."""

    name: str
    score: Callable[[pd.DataFrame], Array]
    decide: Callable[[pd.DataFrame, Array], Array]


def recorded(rule: CurrentProcess, frame: pd.DataFrame) -> Array:
    """What the process's column or expression gives for each row, as it stands there; missing where nothing."""
    if rule.column:
        return np.asarray(frame[rule.column])
    place = "current_process.decide"
    return np.asarray(evaluate({place: rule.decide}, frame)[place])


def current_process(kind: Kind, development: pd.DataFrame) -> Process:
    """The process in use today; where the task names none, the best constant decision on these rows."""
    rule = kind.task.current_process
    if rule is None:
        return constant_process(kind, development)
    usual = usual_action(kind, development) or 0.0

    def decided(frame: pd.DataFrame) -> Array:
        return kind.actions(recorded(rule, frame), usual)

    return Process("current", lambda frame: kind.certain(decided(frame)), lambda f, _: decided(f))


def constant_process(kind: Kind, development: pd.DataFrame) -> Process:
    """The best constant decision on these rows: what anybody could do without looking at the row."""
    outcomes = kind.outcomes(development)
    options = kind.constant_actions(outcomes)
    actions = [np.full(len(outcomes), option, dtype=object) for option in options]
    earned = [kind.value(development, action, outcomes).mean() for action in actions]
    best = options[int(np.argmax(earned))]
    score = kind.constant_score(outcomes, best)
    dtype = kind.choose(object, float)

    def scores(frame: pd.DataFrame) -> Array:
        return np.broadcast_to(score, (len(frame), *score.shape)).astype(float)

    return Process("constant", scores, lambda frame, _: np.full(len(frame), best, dtype=dtype))


def usual_action(kind: Kind, development: pd.DataFrame) -> Any:
    """The decision where the current process gives none; without a process the best constant one."""
    if kind.task.current_process is None:
        return constant_process(kind, development).decide(development.head(1), np.zeros(1))[0]
    return kind.usual_action(kind.outcomes(development))
