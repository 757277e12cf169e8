"""Each way that data breaks is harmless, caught by contract or monitoring, or missed."""

from ml_workflow.data.corruptions import CORRUPTIONS, NOTHING
from ml_workflow.model.release import load_release
from ml_workflow.model.robustness import corruption_matrix
from tests.model.conftest import TABLE, Kept


def test_the_first_that_tells_is_the_verdict_and_false_alarms_do_not_count(release: Kept) -> None:
    loaded = load_release(*release)
    matrix = corruption_matrix(loaded, ["x"], TABLE, TABLE, loaded.score(TABLE), seed=0)
    verdicts = matrix["verdict"]
    # monitoring takes the sound rows for copies of the past ones
    assert verdicts[NOTHING] == "monitoring" and len(matrix) < len(CORRUPTIONS)
    assert not matrix["by monitoring"].drop(NOTHING).str.contains("copies").any()
    assert matrix.loc["a column missing"].tolist() == ["contract", 1.0, "x is there", ""]
    assert verdicts["the sign turned"] == "monitoring"
    assert verdicts["one column shifted by a row"] == "missed"
    assert verdicts["columns in another order"] == "harmless"
