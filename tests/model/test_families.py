"""Every family learns every kind of target, with the settings it begins with and with others."""

import time
from functools import partial

import numpy as np
import optuna
import pytest
from threadpoolctl import threadpool_limits

from ml_workflow.model.families import FAMILIES, OutOfTime, Range, spaces
from tests.model.searches import KINDS, NEVER, defaults, search_of


def middle(span: Range) -> float:
    """The middle of a range, on its scale."""
    value = (span.low * span.high) ** 0.5 if span.log else (span.low + span.high) / 2
    return type(span.low)(value)


@threadpool_limits.wrap(limits=1, user_api="openmp")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_learns(name: str, kind: str) -> None:
    search = search_of(kind, 400)
    fold, family = search.folds[0], FAMILIES[name]
    outcomes = search.target[fold.test]
    classes, mean = len(search.kind.classes), search.target.mean()
    even = np.full((len(outcomes), classes), 1 / max(1, classes))
    constant = search.kind.choose(even, np.full(len(outcomes), mean))
    losses = partial(search.kind.losses, outcomes=outcomes)
    space = spaces(search.shape)[name].items()
    trial = optuna.trial.FixedTrial({key: middle(span) for key, span in space})
    suggested = {key: span.suggest(trial, key) for key, span in space}
    for settings in (defaults(search, name), suggested):
        scores, trees = search.fold_scores(family, settings, fold, NEVER)
        assert losses(scores).mean() < losses(constant).mean() and np.isfinite(scores).all()
        assert 0 < trees < 3000 if family.grow else trees == 0


@threadpool_limits.wrap(limits=1, user_api="openmp")
@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.grow])
def test_a_booster_stops_at_the_deadline(name: str) -> None:
    search = search_of("binary")
    with pytest.raises(OutOfTime):
        late = time.time() - 1
        search.fold_scores(FAMILIES[name], defaults(search, name), search.folds[0], late)
