"""A past decision once more, from the version that made it and the row as it was kept."""

import json
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from ..errors import Refusal
from ..model.registry import registered
from ..store.address import connected
from ..store.schema import decisions
from .score import as_promised


class Replay(NamedTuple):
    """The version that decided, as TASK/NUMBER, and each difference as a clause; none when score and action are equal."""

    version: str
    differences: list[str]


def replayed(url: str, decision: str) -> Replay:
    """Compute a decision again by the released code.

    One without a score, or with one in shadow, was made by the current process; one that was drawn at random has its score alone compared.
    """
    kept = _kept(url, decision)
    name, _, number = kept["version"].rpartition("/")
    release = registered(name, number)
    frame = as_promised(release.contract, pd.DataFrame([kept["row"]]))
    shadow = isinstance(kept["score"], dict)
    then = {"score": kept["score"]["shadow"] if shadow else kept["score"], "action": kept["action"]}
    scores = None if then["score"] is None else np.asarray(release.score(frame))
    action = release.current(frame) if scores is None or shadow else release.decide(frame, scores)
    again = {"score": None if scores is None else plain(scores), "action": plain(action)}
    drawn = kept["propensity"] is not None and kept["propensity"] < 0.5
    return Replay(
        kept["version"],
        _differences({name: then[name] for name in then if name == "score" or not drawn}, again),
    )


def plain(values: Any) -> Any:
    """The first row of scores or actions as JSON keeps it."""
    return np.asarray(values)[0].tolist() if np.asarray(values).dtype != object else values[0]


def _kept(url: str, decision: str) -> dict[str, Any]:
    """The row, version, score and action of a decision; refused when it is unknown or its row was not kept."""
    columns = [decisions.c[name] for name in ("row", "version", "score", "action", "propensity")]
    with connected(url) as connection:
        found = (
            connection.execute(sa.select(*columns).where(decisions.c.id == decision))
            .mappings()
            .first()
        )
    if found is None or found["row"] is None:
        raise Refusal(
            f"The decision {decision} "
            + (
                "is not in the decisions database: see its id."
                if found is None
                else "was kept without its row, so nothing can be computed again."
            )
        )
    return dict(found)


def _differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is not the same, to the last bit; an action is kept as text."""
    same = {
        name: json.dumps(then[name]) == json.dumps(now[name])
        if name == "score"
        else str(then[name]) == str(now[name])
        for name in then
    }
    return [f"{name} was {then[name]} and is {now[name]}" for name in then if not same[name]]
