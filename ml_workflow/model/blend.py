"""A blend of judged models: greedy weights on their out-of-fold scores, and one pipeline of the members."""

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.pipeline import Pipeline, make_pipeline

from .search import Candidate, Data, losses
from .spaces import FAMILIES

ROUNDS = 20  # the most additions: a weight is then known to a twentieth
FEW = 3  # the best models of each family that may become members


def members_of(found: list[Candidate]) -> list[Candidate]:
    """The best few models of each family, the best first."""
    seen: dict[str, int] = {}
    kept = []
    for candidate in sorted(found, key=lambda c: c.loss):
        seen[candidate.family] = seen.get(candidate.family, 0) + 1
        kept += [candidate] if seen[candidate.family] <= FEW else []
    return kept


def weights_of(members: list[Candidate], data: Data) -> dict[str, int]:
    """How often each member counts: added one by one, with replacement, while the loss of the mean falls (Caruana et al. 2004)."""
    rows = data.scored
    target, scores = data.target[rows], {c.name: c.scores[rows] for c in members}
    total, best, picks = np.zeros_like(scores[members[0].name]), np.inf, dict.fromkeys(scores, 0)
    for size in range(1, ROUNDS + 1):
        loss = {
            name: float(losses((total + s) / size, target).mean()) for name, s in scores.items()
        }
        name = min(loss, key=lambda n: loss[n])
        if loss[name] >= best * (1 - 1e-5):
            break
        best, total, picks[name] = loss[name], total + scores[name], picks[name] + 1
    return {name: count for name, count in picks.items() if count}


def mean_scores(members: list[Candidate], weights: dict[str, int]) -> np.ndarray:
    """The weighted mean of the members' out-of-fold scores."""
    return np.asarray(
        sum(c.scores * weights[c.name] for c in members if c.name in weights)
        / sum(weights.values())
    )


def blended(
    steps: Pipeline,
    members: list[Candidate],
    weights: dict[str, int],
    classes: bool,
    seeds: int = 1,
) -> Any:
    """One unfitted pipeline: the members share the steps that make numbers of the table; each stands in it under `seeds` seeds, whose mean varies less."""
    named: list[tuple[str, Any, int]] = []
    for candidate in (c for c in members if c.name in weights):
        copies = seeds if FAMILIES[candidate.family].stops_early else 1
        for seed in range(copies):
            named.append(
                (
                    f"{candidate.name} {seed}",
                    seeded(candidate.estimator, seed),
                    weights[candidate.name] * seeds // copies,
                )
            )
    if len(named) == 1:
        return make_pipeline(*clone(list(steps)), named[0][1])
    estimators, counts = [(name, model) for name, model, _ in named], [count for *_, count in named]
    voting = (
        VotingClassifier(estimators, voting="soft", weights=counts)
        if classes
        else VotingRegressor(estimators, weights=counts)
    )
    return make_pipeline(*clone(list(steps)), voting)


def seeded(estimator: Any, seed: int) -> Any:
    """The same estimator with another seed; the first is as it was judged."""
    name = next((n for n in ("random_state", "random_seed") if n in estimator.get_params()), "")
    return (
        clone(estimator).set_params(**{name: estimator.get_params()[name] + seed})
        if name
        else clone(estimator)
    )


def seeds_for(members: list[Candidate], weights: dict[str, int], folds: int, seconds: float) -> int:
    """How many seeds of each member (1 to 4) can be fitted in a quarter of the seconds, going by what their folds took."""
    once = sum(candidate.seconds for candidate in members if candidate.name in weights) / folds
    return int(np.clip(seconds / 4 / max(once, 1e-3), 1, 4))
