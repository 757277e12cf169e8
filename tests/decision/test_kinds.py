"""The three kinds of target keep what every caller relies on, whatever the outcomes and scores."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_workflow.decision.kinds import Array, Kind, kind_of
from ml_workflow.errors import Refusal
from tests.decision.tasks import task_of

KINDS = ["binary", "multiclass", "regression"]
LABELS = {"binary": [0, 1], "multiclass": ["a", "b", "Ünï"], "regression": [-3.5, 0.0, 1e6]}


@st.composite
def scored(draw: st.DrawFn) -> tuple[Kind, pd.DataFrame, Array]:
    """A kind, rows with an outcome, and scores of the shape that the kind has."""
    name = draw(st.sampled_from(KINDS))
    labels = draw(st.lists(st.sampled_from(LABELS[name]), min_size=1, max_size=8))
    kind, frame = kind_of(task_of(name), LABELS[name]), pd.DataFrame({"y": labels})
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    shares = rng.dirichlet(np.ones(max(1, len(kind.classes))) / 9, len(labels))
    columns = kind.choose(shares, rng.normal(0, 1e3, (len(labels), 1)))
    return kind, frame, columns if len(kind.score_names) > 1 else columns[:, -1]


@given(scored())
@settings(max_examples=60, deadline=None)
def test_outcomes_come_back_and_what_is_scored_can_be_judged_and_decided(
    case: tuple[Kind, pd.DataFrame, Array],
) -> None:
    kind, frame, scores = case
    outcomes = kind.outcomes(frame)
    assert kind.decode(kind.encode(outcomes)) == outcomes.tolist()
    losses = kind.losses(scores, outcomes)
    assert losses.shape == (len(frame),) and np.isfinite(losses).all() and (losses >= 0).all()
    actions = kind.decide(frame, scores, kind.residual_quantiles(np.zeros(5), np.arange(5.0)))
    assert actions.shape == (len(frame),)
    assert set(actions) <= set(kind.choose(kind.decisions, actions))
    assert kind.decide(frame, kind.certain(actions)).tolist() == actions.tolist()
    for worth in (kind.value(frame, actions, outcomes), kind.expected_value(frame, scores)):
        assert worth.shape == (len(frame),) and np.isfinite(worth).all()
    assert len(kind.cases(actions, outcomes)) == len(kind.is_right(actions, outcomes)) == len(frame)


@pytest.mark.parametrize(
    ("kind", "column", "words"),
    [
        ("binary", [1, 1], "one value only"),
        ("multiclass", ["a", "a"], "one value only"),
        ("regression", [2.0, 2.0], "one value only"),
    ],
)
def test_outcomes_that_nothing_can_be_learned_from_are_refused(
    kind: str, column: list[Any], words: str
) -> None:
    with pytest.raises(Refusal, match=words):
        kind_of(task_of(kind), column).check(pd.DataFrame({"y": column}))


def test_the_quantile_of_the_residuals_by_a_row_s_costs_earns_more_than_the_mean() -> None:
    costs = {"over": 1, "under": "case when x > 75 then 9 else 1 end"}
    rng, kind = np.random.default_rng(0), kind_of(task_of("regression", value=costs))
    scores, errors = rng.uniform(50, 100, 4000), rng.exponential(20, (2, 4000)) - 20
    frame, outcomes = pd.DataFrame({"x": scores}), scores + errors[1]
    actions = kind.decide(frame, scores, kind.residual_quantiles(scores, scores + errors[0]))
    shares = np.where(scores > 75, 0.9, 0.5)
    np.testing.assert_allclose(actions - scores, np.quantile(errors[0], shares), atol=1.0)
    worth = [kind.value(frame, taken, outcomes).mean() for taken in (actions, scores)]
    assert worth[0] > worth[1]
    np.testing.assert_array_equal(kind.decide(frame, scores), scores)


def test_the_decision_is_the_one_expected_to_earn_most_in_its_row() -> None:
    act, leave = ({"negative": -1, "positive": "a / 2"}, {"negative": 5, "positive": "-a"})
    kind = kind_of(task_of("binary", value={"act": act, "leave": leave}))
    frame = pd.DataFrame({"a": [100.0, 10.0]})
    assert kind.decide(frame, np.full(2, 0.1)).tolist() == ["act", "leave"]
    assert kind.expected_value(frame, np.full(2, 0.1)) == pytest.approx([4.1, 3.5])
