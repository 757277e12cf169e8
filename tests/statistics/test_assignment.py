"""Assignment is uniform, independent between experiments, the same everywhere, and stays."""

import numpy as np
import pytest
from scipy import stats

from ml_workflow.statistics.assignment import assign, uniforms

UNITS = [f"customer-{i}" for i in range(20_000)]


def test_the_number_of_a_unit_never_changes() -> None:
    """A change here would move customers of running experiments."""
    assert uniforms("salt", ["7"])[0] == pytest.approx(0.046332584128, abs=1e-12)


def test_numbers_are_uniform_and_independent_between_experiments() -> None:
    first, second = uniforms("one", UNITS), uniforms("two", UNITS)
    assert stats.kstest(first, "uniform").pvalue > 0.001
    table = np.histogram2d(first, second, bins=10, range=[[0, 1], [0, 1]])[0]
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_arms_follow_their_weights() -> None:
    arms = assign(
        UNITS,
        inclusion_salt="in",
        arm_salt="arm",
        inclusion=1,
        weights={"a": 0.7, "b": 0.2, "c": 0.1},
    )
    assert [np.mean(arms == name) for name in "abc"] == pytest.approx([0.7, 0.2, 0.1], abs=0.012)


@pytest.mark.parametrize(
    ("salt", "unit", "sentence"),
    [
        ("a:b", "7", "without a colon"),
        ("", "7", "not empty"),
        ("salt", 7.0, "7.0 is a float"),
        ("salt", None, "None is a NoneType"),
    ],
)
def test_wrong_arguments_get_a_sentence(salt: str, unit: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        uniforms(salt, [unit])
