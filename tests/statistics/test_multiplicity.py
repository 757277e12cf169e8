"""Corrections for several tests are those of statsmodels, in the order given."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from ml_workflow.statistics.multiplicity import benjamini_hochberg, holm

P = np.random.default_rng(0).uniform(size=30) ** 3


@pytest.mark.parametrize(("ours", "theirs"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
def test_adjusted_p_values_agree_with_statsmodels(ours, theirs: str) -> None:
    assert ours(P) == pytest.approx(multipletests(P, method=theirs)[1])
    assert ours([0.04]) == pytest.approx([0.04])
    assert ours([0.9, 0.9]) == pytest.approx(multipletests([0.9, 0.9], method=theirs)[1])


def test_a_p_value_outside_its_range_gets_a_sentence() -> None:
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        holm([0.5, 1.2])
