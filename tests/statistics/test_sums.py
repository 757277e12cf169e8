"""Sums say what the rows say."""

import numpy as np
import pytest

from ml_workflow.statistics.sums import Sums, sums_of

G = np.random.default_rng(0)
Y, X, D = G.normal(100, 20, 999), G.normal(5, 2, 999), 1.0 + G.poisson(2, 999)


def test_mean_and_variances_are_those_of_the_rows() -> None:
    sums = sums_of(Y, covariate=X)
    assert sums.value == pytest.approx(Y.mean())
    assert sums.variance == pytest.approx(Y.var(ddof=1))
    assert sums.covariate_variance == pytest.approx(X.var(ddof=1))
    assert sums.covariance == pytest.approx(np.cov(X, Y)[0, 1])


def test_ratio_variance_is_the_delta_methods() -> None:
    sums = sums_of(Y, denominator=D)
    ratio = Y.sum() / D.sum()
    assert sums.value == pytest.approx(ratio)
    assert sums.variance == pytest.approx(((Y - ratio * D) / D.mean()).var(ddof=1))


def test_rounding_is_not_taken_for_variance() -> None:
    assert sums_of(np.full(1000, 0.1)).variance == 0


def test_arrays_of_sums_give_what_single_sums_give() -> None:
    rows = G.normal(size=(3, 50))
    one = np.ones(3) * 50
    together = Sums(one, rows.sum(1), (rows**2).sum(1), one, one, rows.sum(1))
    assert together.variance == pytest.approx([sums_of(row).variance for row in rows])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sums_of([1.0, np.inf]), "missing or infinite numbers, the first in row 1"),
        (lambda: sums_of([1.0, 2.0], covariate=[1.0]), "covariate has 1 rows and values has 2"),
        (lambda: sums_of([]), "at least 1 are needed"),
    ],
)
def test_wrong_arguments_get_a_sentence(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
