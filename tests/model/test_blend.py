"""A blend is better than its best member, and a row scores alone as it does among others."""

import numpy as np
import pytest
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from ml_workflow.model.blend import Blend
from ml_workflow.model.families import FAMILIES
from ml_workflow.model.fitting import scored
from tests.model.searches import KINDS, candidate, nothing, rows_of, search_of, steps


def test_a_blend_is_better_than_its_best_member_where_errors_differ() -> None:
    search, rng = search_of("regression"), np.random.default_rng(0)
    noise = rng.normal(0, 1, (len(FAMILIES), len(search.target)))
    members = [
        candidate(search, f"m{i}", family, search.target + (5 + i) * noise[i])
        for i, family in enumerate(FAMILIES)
    ]
    blend = Blend.of(search, members)
    mean = search.kind.losses(blend.scores, search.target).mean()
    assert mean < 0.7 * min(member.loss for member in members)
    same = [candidate(search, str(shift), "linear", search.target + shift) for shift in (1.0, 2.0)]
    assert Blend.of(search, same).weights == {"1.0": 1}


def test_of_each_family_only_the_three_best_may_become_members() -> None:
    search, rng = search_of("regression"), np.random.default_rng(0)
    noise = rng.normal(0, 50, (5, len(search.target)))
    five = [candidate(search, f"m{i}", "linear", search.target + noise[i]) for i in range(5)]
    best = {member.name for member in sorted(five, key=lambda member: member.loss)[:3]}
    assert Blend.of(search, five).weights.keys() == best


@pytest.mark.parametrize("kind", KINDS)
def test_a_blended_pipeline_scores_as_the_weighted_mean_of_its_members(kind: str) -> None:
    (table, y), search = rows_of(kind), search_of(kind)
    guess = nothing(search)
    members = [candidate(search, f, f, guess) for f in ("linear", "LightGBM", "CatBoost")]
    blend = Blend(search, list(zip(members, (1, 2, 1), strict=True)), guess)
    single = [scored(clone(member.estimator).fit(table, y), table) for member in members]
    mean = (single[0] + 2 * single[1] + single[2]) / 4
    np.testing.assert_allclose(scored(blend.pipeline(steps()).fit(table, y), table), mean, 1e-5)


@threadpool_limits.wrap(limits=1, user_api="openmp")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "families", [*([name] for name in FAMILIES), list(FAMILIES)], ids=[*FAMILIES, "blend"]
)
def test_a_row_alone_and_among_others_has_the_same_score_to_the_last_bit(
    families: list[str], kind: str
) -> None:
    (table, y), search = rows_of(kind, columns=9), search_of(kind)
    table = table.astype(np.float32)
    guess = nothing(search)
    members = [(candidate(search, family, family, guess), 2) for family in families]
    model = Blend(search, members, guess).pipeline(steps(), seeds=3).fit(table, y)
    together = scored(model, table)
    alone = [scored(model, table.iloc[[row]])[0].tolist() for row in range(len(table))]
    assert alone == together.tolist()


def test_seeds_keep_the_weights_of_families_without_a_seed() -> None:
    search = search_of("regression")
    members = [(candidate(search, f, f, search.target), 1) for f in ("linear", "LightGBM")]
    blend = Blend(search, members, search.target)
    voting = blend.pipeline(steps(), seeds=3)[-1]
    assert voting.weights == [3, 1, 1, 1]
    assert [m.random_state for name, m in voting.estimators if "LightGBM" in name] == [0, 1, 2]
    assert [blend.seeds_for(seconds) for seconds in (0, 8, 1000)] == [1, 3, 4]
