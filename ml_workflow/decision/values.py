"""What decisions are worth, and the rule that turns probabilities into decisions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..errors import Refusal
from ..task.definition import Amount
from .expressions import evaluate

Array = np.ndarray[Any, Any]


def decision_values(
    amounts: Mapping[str, Mapping[str, Amount]], classes: Sequence[str], frame: pd.DataFrame
) -> Array:
    """What each decision is worth for each outcome, rows x decisions x classes, in the currency.

    `amounts` gives a number or an SQL expression by decision and class; Refusal where one is not.
    """
    places = {f"value.{d}.{c}": (d, c) for d in amounts for c in classes}
    for decided, actual in places.values():
        if actual not in amounts[decided]:
            raise Refusal(
                f"value.matrix does not say what deciding {decided!r} is worth "
                f"when {actual!r} is true."
            )
    cells = evaluate({place: amounts[d][c] for place, (d, c) in places.items()}, frame)
    table = np.stack([cells[place] for place in places], axis=-1).astype(float)
    return table.reshape(len(frame), len(amounts), len(classes))


def expected_values(worth: Array, probabilities: Array) -> Array:
    """What each decision is expected to be worth, rows x decisions: the sum of p times worth."""
    return np.einsum("rdc,rc->rd", worth, probabilities)


def best_decisions(decisions: Sequence[str], expected: Array) -> Array:
    """The decision of greatest expected value for each row, shape (n,); of equals the first."""
    return np.array(decisions, dtype=object)[expected.argmax(axis=1)]
