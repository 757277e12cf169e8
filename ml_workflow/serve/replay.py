"""A past decision once more, from the version that made it and the row as it was kept."""

import json
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import Refusal
from ..model.registry import registered
from ..store.database import connect
from ..store.decisions import read_decision


class Replay(NamedTuple):
    """The version that decided, as TASK/NUMBER, and each difference as a clause.

    There is none when score and action are equal to the last bit.
    """

    version: str
    differences: list[str]


def replay(url: str, identity: str) -> Replay:
    """Compute a decision again by the released code.

    One without a score, or with one in shadow, was made by the current process; of one that was
    drawn at random only the score is compared. Raises Refusal where it is unknown or has no row.
    """
    engine = connect(url)
    past = read_decision(engine, identity)
    engine.dispose()
    if past.row is None:
        raise Refusal(
            f"The decision {identity} was kept without its row, so nothing can be computed again."
        )
    task, _, number = past.version.rpartition("/")
    release = registered(task, number)
    frame = release.contract.typed(pd.DataFrame([past.row]))
    in_shadow = isinstance(past.score, dict)
    score = past.score["shadow"] if in_shadow else past.score
    scores, again = np.empty(0), None
    if score is not None:
        scores = np.asarray(release.score(frame))
        again = scores[0].tolist()
    by_release = score is not None and not in_shadow
    actions = release.decide(frame, scores) if by_release else release.current(frame)
    action = str(np.asarray(actions).tolist()[0])
    drawn = past.propensity is not None and past.propensity < 0.5
    differences = []
    if json.dumps(score) != json.dumps(again):
        differences.append(f"score was {score} and is {again}")
    if past.action != action and not drawn:
        differences.append(f"action was {past.action} and is {action}")
    return Replay(past.version, differences)
