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
    score = past.score["shadow"] if isinstance(past.score, dict) else past.score
    scores = np.empty(0) if score is None else np.asarray(release.score(frame))
    actions = release.decide(frame, scores) if past.by_release else release.current(frame)
    pairs = {"score": (score, next(iter(scores.tolist()), None))}
    if past.propensity is None or past.propensity >= 0.5:
        pairs["action"] = (past.action, str(np.asarray(actions).tolist()[0]))
    differences = [
        f"{name} was {then} and is {now}"
        for name, (then, now) in pairs.items()
        if json.dumps(then) != json.dumps(now)
    ]
    return Replay(past.version, differences)
