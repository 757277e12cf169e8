"""Money as people read it, and what a month brings by how many are acted on."""

import numpy as np
import pandas as pd
import pytest

from ml_workflow.decision.amounts import money, money_curve
from ml_workflow.decision.kinds import kind_of
from tests.decision.tasks import task_of

WORTH = {
    "currency": "NT$",
    "act": {"positive": 5, "negative": -1},
    "leave": {"positive": 0, "negative": 0},
}


@pytest.mark.parametrize(
    ("amount", "words"), [(5_190_000.4, "NT$5,190,000"), (-12.5, "-NT$12.50"), (0, "NT$0.00")]
)
def test_amounts_are_rounded_as_people_do(amount: float, words: str) -> None:
    assert money(task_of("binary", value=WORTH), amount) == words


def test_without_values_right_decisions_are_counted() -> None:
    assert money(task_of("multiclass"), 31.2) == "31.20 right decisions"


def test_the_money_curve_is_highest_where_acting_stops_to_pay() -> None:
    rng, kind = np.random.default_rng(0), kind_of(task_of("binary", value=WORTH))
    scores = rng.uniform(0, 0.5, 20_000)
    outcomes = (rng.random(20_000) < scores).astype(int)
    curve = money_curve(kind, pd.DataFrame({"y": outcomes}), scores, outcomes)
    best = (curve["money"].idxmax() + 1) / len(curve)
    assert abs(best - (curve["expected"] > 0).mean()) < 0.05
    assert curve["share"].iloc[-1] == 1
