"""A blend of judged models: weights by their out-of-fold scores, and one pipeline of them."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.pipeline import Pipeline, make_pipeline

from ..decision.kinds import Array
from .families import FAMILIES
from .fitting import scores_of
from .search import Candidate, Search

ROUNDS = 20
"""The most additions: a weight is then known to a twentieth."""
FEW = 3
"""The best models of each family that may become members."""


@dataclass(frozen=True)
class Blend:
    """Models of a search with how often each counts; `scores` is the mean out of fold."""

    search: Search
    members: list[tuple[Candidate, int]]
    scores: Array

    @classmethod
    def of(cls, search: Search, found: list[Candidate]) -> "Blend":
        """Models added one by one, with replacement, while the mean's loss falls.

        Of each family only the best few are looked at (Caruana et al. 2004).
        """
        rows, best, total = search.judged, np.inf, np.zeros(1)
        candidates, counts = _best_few(found), Counter[str]()
        for size in range(1, ROUNDS + 1):
            means = [(total + c.probabilities[rows]) / size for c in candidates]
            losses = [search.kind.losses(m, search.target[rows]).mean() for m in means]
            winner = int(np.argmin(losses))
            if losses[winner] >= best * (1 - 1e-5):
                break
            best = losses[winner]
            total = total + candidates[winner].probabilities[rows]
            counts[candidates[winner].name] += 1
        members = [(c, counts[c.name]) for c in candidates if counts[c.name]]
        mean = sum(c.probabilities * count for c, count in members) / counts.total()
        return cls(search, members, scores_of(np.asarray(mean)))

    @property
    def weights(self) -> dict[str, int]:
        """How often each member counts, by its name."""
        return {candidate.name: count for candidate, count in self.members}

    def seeds_for(self, seconds: float) -> int:
        """How many seeds of each member (1 to 4) can be fitted in a quarter of the seconds.

        By what their folds took.
        """
        once = sum(candidate.seconds for candidate, _ in self.members) / len(self.search.folds)
        return int(np.clip(seconds / 4 / max(once, 1e-3), 1, 4))

    def pipeline(self, steps: Pipeline, seeds: int = 1) -> Pipeline:
        """One unfitted pipeline, in which the members share the steps from a table to numbers.

        Each member that grows stands in it under several seeds, whose mean varies less.
        """
        estimators, weights = [], []
        for candidate, count in self.members:
            copies = seeds if FAMILIES[candidate.family].grow else 1
            for seed in range(copies):
                estimators.append((f"{candidate.name} {seed}", _seeded(candidate.estimator, seed)))
                weights.append(count * seeds // copies)
        blend = self.search.kind.choose(
            VotingClassifier(estimators, voting="soft", weights=weights),
            VotingRegressor(estimators, weights=weights),
        )
        last = blend if len(estimators) > 1 else estimators[0][1]
        return make_pipeline(*clone(list(steps)), last)


def _best_few(found: list[Candidate]) -> list[Candidate]:
    """The best few models of each family, the best first."""
    seen, few = Counter[str](), []
    for candidate in sorted(found, key=lambda c: c.loss):
        seen[candidate.family] += 1
        if seen[candidate.family] <= FEW:
            few.append(candidate)
    return few


def _seeded(estimator: Any, seed: int) -> Any:
    """The same estimator with another seed; the first is as it was judged."""
    settings = estimator.get_params()
    changed = {
        name: settings[name] + seed for name in ("random_state", "random_seed") if name in settings
    }
    return clone(estimator).set_params(**changed)
