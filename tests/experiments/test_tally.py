"""The same experiment through SQLite, PostgreSQL, CSV and Parquet: equal sums."""

from dataclasses import astuple, replace

import pytest

from ml_workflow.errors import Refusal
from ml_workflow.experiments.plan import DAY
from ml_workflow.experiments.tally import outcome_delays, sum_by_day, totals_in
from ml_workflow.statistics.sums import sums_of
from tests.experiments.conftest import Store
from tests.experiments.traffic import START, traffic


@pytest.mark.parametrize("decisions", [1, 3])
def test_sums_are_those_of_the_units_wherever_they_stand(store: Store, decisions: int) -> None:
    frame = traffic(600, rows=decisions)
    evidence = store(frame)
    sums = sum_by_day(evidence, 7 * DAY)
    assert evidence.is_repeated == (decisions > 1) and evidence.doubled == 0
    assert set(sums["day"]) == set(frame["exposed"] // DAY)
    for total, (_, part) in zip(totals_in(sums), frame.groupby("arm"), strict=True):
        unit = part.groupby("unit")
        covariate = unit["covariate"].mean()
        own = sums_of(unit["value"].sum(), denominator=unit.size(), covariate=covariate)
        assert astuple(total) == pytest.approx(astuple(own))
    acted = sum_by_day(evidence, 7 * DAY, "action act").groupby("arm")["y"].sum()
    assert acted.to_dict() == {"current": 0.0, "release": 300.0 * decisions}
    sides = sum_by_day(evidence, 7 * DAY, segment="side").groupby("side")["units"].sum()
    assert sides.to_dict() == frame.drop_duplicates("unit")["side"].value_counts().to_dict()


def test_outcomes_count_only_within_the_window_of_ripe_units(store: Store) -> None:
    frame, window, now = traffic(), 2 * DAY, START + 8 * DAY
    sums = sum_by_day(replace(store(frame), now=now), window)
    ripe = frame[frame["decided"] <= now - window]
    inside = ripe["time"] <= ripe["decided"] + window
    assert sums["units"].sum() == len(ripe) < len(frame) == sums["exposed"].sum()
    assert sums["y"].sum() == pytest.approx(ripe["value"][inside].sum())
    assert sums["silent"].sum() == (~inside).sum()


def test_delays_are_counted_by_hour(store: Store) -> None:
    frame = traffic()
    delays = outcome_delays(store(frame)).groupby("delay")["count"].sum()
    hours = (frame["time"] - frame["decided"]) // 3600
    assert delays.to_dict() == hours.value_counts().to_dict()


@pytest.mark.parametrize(
    ("arms", "sentence"),
    [
        (["current"], "the arm release is empty, current has 1,000 units: look at the weights"),
        ([], "has no exposures"),
        (["current", "green"], r"arm 'green' \(1,000 units\): arms are current and release; name"),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(
    store: Store, arms: list[str], sentence: str
) -> None:
    frame = traffic()
    if "green" in arms:
        frame = frame.replace({"arm": {"release": "green"}})
    evidence = store(frame[frame["arm"].isin(arms)])
    with pytest.raises(Refusal, match=sentence):
        sum_by_day(evidence, 0.0)
