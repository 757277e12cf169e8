"""Amounts become decisions: the one that is expected to earn most."""

import numpy as np
import pandas as pd

from ml_workflow.decision.values import best_decisions, decision_values, expected_values

FRAME = pd.DataFrame({"amount": [100.0, 10.0]})
AMOUNTS = {
    "act": {"negative": -1, "positive": "amount / 2"},
    "leave": {"negative": 5, "positive": "-amount"},
}


def test_the_decision_is_the_one_expected_to_earn_most_in_its_row() -> None:
    worth = decision_values(AMOUNTS, ["negative", "positive"], FRAME)
    assert worth.tolist() == [[[-1, 50], [5, -100]], [[-1, 5], [5, -10]]]
    expected = expected_values(worth, np.full((2, 2), 0.5) * [1.8, 0.2])
    assert best_decisions(list(AMOUNTS), expected).tolist() == ["act", "leave"]
