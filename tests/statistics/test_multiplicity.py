"""Corrections for several tests are those of statsmodels, in the order given."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from ml_workflow.statistics.multiplicity import holm


@pytest.mark.parametrize("p", [np.random.default_rng(0).uniform(size=30) ** 3, [0.04], [0.9, 0.9]])
def test_adjusted_p_values_agree_with_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
