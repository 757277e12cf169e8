"""Sums of rows; what follows from them is held against others in test_effects."""

import numpy as np
import pytest

from ml_workflow.statistics.sums import sums_of


def test_rounding_is_not_taken_for_variance() -> None:
    assert sums_of(np.full(1000, 0.1)).variance == 0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sums_of([1.0, np.inf]), "missing or infinite numbers, the first in row 1"),
        (lambda: sums_of([1.0, 2.0], covariate=[1.0]), "mismatch"),
        (lambda: sums_of([]), "at least 1 are needed"),
    ],
)
def test_wrong_arguments_get_a_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
