"""Segments are compared level by level."""

from ml_workflow.experiments.plan import DAY
from ml_workflow.experiments.segments import compare_segments
from ml_workflow.experiments.tally import count_evidence
from tests.experiments.conftest import Store
from tests.experiments.traffic import traffic


def test_an_effect_that_differs_by_segment_is_told(store: Store) -> None:
    frame = traffic(effect=4.0)
    more = 5 * ((frame["side"] == "left") & (frame["arm"] == "release"))
    table = compare_segments(
        count_evidence(store(frame.assign(value=frame["value"] + more)), 7 * DAY)
    ).set_index("level")
    assert table["units"].sum() == 2_000 and (table["p of the same effect"] < 0.001).all()
    for level, effect in (("left", 9), ("right", 4)):
        assert table.loc[level, "lower"] < effect < table.loc[level, "upper"]
