"""A window of decisions: silent while nothing moves, and loud on each thing that does."""

import re
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sklearn.ensemble import HistGradientBoostingClassifier

from ml_workflow.data.window import Window, alarms_of, window_of
from ml_workflow.decision.kinds import Array, kind_of
from ml_workflow.operate.monitor import (
    Observation,
    broken_rules,
    gaps,
    is_chance,
    monitor,
    volume,
)
from ml_workflow.operate.simulate import DRIFTS, MONTH, Arrivals
from ml_workflow.operate.traffic import HOUR, OutcomeSums, Traffic
from ml_workflow.task.file import read_task
from tests.conftest import ROOT
from tests.operate.conftest import NOW, SCENARIO, Live


def findings(live: Live) -> dict[str, str]:
    """What monitoring finds in the last month of the scenario."""
    return monitor(live.url, "penguins", days=30, now=NOW).findings


def test_the_command_says_each_finding_ends_with_three_and_writes_page_and_figures(
    live: Live,
) -> None:
    nothing = {"volume": "no decision of penguins in the last 7 days"}
    assert monitor(live.url, "penguins").findings == nothing
    live.play(SCENARIO._replace(drift=DRIFTS["broken"]))
    report, column = monitor(live.url, "penguins", 30, NOW), live.release.contract.numeric[0]
    assert "PSI" in report.findings[column]
    assert report.decisions == report.sample_size == 1500
    done = live.called("monitor", "--days", "4000")
    assert (done.returncode, done.stderr) == (3, "") and f"{column}: " in done.stdout
    page = Path(done.stdout.rsplit("Read ", 1)[1].strip()).read_text(encoding="utf-8")
    assert f"<th>{column}</th>" in page and "Traceback" not in page
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    figures = (live.project / "var" / "monitor" / "penguins.prom").read_text(encoding="utf-8")
    assert f'ml_workflow_drift_psi{{column="{column}",task="penguins"}} ' in figures
    assert 'ml_workflow_decisions{task="penguins"} 3000.0' in figures


def test_nothing_is_found_where_nothing_moved(live: Live) -> None:
    end = ceil(time.time() / HOUR) * HOUR  # where the command lets its window end
    live.play(SCENARIO._replace(begin=end - 2 * MONTH))
    done = live.called("monitor", "--days", "30")
    assert done.returncode == 0 and "nothing moved" in done.stdout, done


def test_decisions_left_to_chance_are_no_drift_of_the_model(live: Live) -> None:
    live.play(SCENARIO._replace(explore=0.3))
    assert findings(live) == {}


def test_outcomes_that_follow_the_inputs_otherwise(live: Live) -> None:
    live.play(SCENARIO._replace(drift=DRIFTS["concept"], size=0.5))
    assert "were promised" in findings(live)["money"]


def test_a_decision_that_is_taken_more_often(live: Live) -> None:
    live.play(SCENARIO)
    change = sa.text("UPDATE decisions SET action = 'Adelie' WHERE position % 3 > 0")
    with live.engine.begin() as connection:
        connection.execute(change)
    assert "Adelie " in findings(live)["decision rate"]


def test_a_few_rows_beyond_all_that_were_learned_from_are_chance_and_many_are_not(
    live: Live,
) -> None:
    contract, rows = live.release.contract, pd.concat([live.table] * 20, ignore_index=True)
    column = next(name for name in contract.numeric if contract[name].max is not None)
    high = contract[column].bounds[1] + 1

    def beyond(count: int) -> dict[str, str]:
        values = np.where(rows.index < count, high, rows[column])
        return broken_rules(live.release, rows.assign(**{column: values}))

    assert beyond(2) == {}
    assert f"broken in 200 of {len(rows):,} rows" in beyond(200)[f"contract, {column}"]
    assert is_chance(5, 5000, 5000, 1) and not is_chance(12, 5000, 5000, 1)
    assert not is_chance(1, 100, 1_000_000, 1)


def week(hours: dict[int, int]) -> Observation:
    """A window of one week, whose last hour is 335, after another; decisions by hour."""
    sums = pd.DataFrame({"hour": hours.keys(), "count": hours.values()})
    sums["hour"] *= HOUR
    traffic = Traffic(sa.create_engine("sqlite://"), "t/1", 0, 336 * HOUR, sums)
    now, nothing = traffic.between(168 * HOUR, 336 * HOUR), OutcomeSums()
    sample = Window(pd.DataFrame())
    return Observation(None, traffic, now, sample, nothing, nothing)  # type: ignore[arg-type]


def test_hours_without_a_decision_where_there_are_always_many() -> None:
    office = {hour: 50 for hour in range(336) if 8 <= hour % 24 < 18}
    assert gaps(week(office)) == ""  # nights are silent in each week
    closed = {hour: count for hour, count in office.items() if not 200 <= hour < 206}
    said = "6 hours without a decision, the first at 1970-01-09 08:00 UTC"
    assert gaps(week(closed)) == said


def test_far_fewer_decisions_than_in_the_week_before() -> None:
    even, late = dict.fromkeys(range(336), 50), dict.fromkeys(range(168, 336), 50)
    fewer = even | dict.fromkeys(range(168, 336), 35)
    assert volume(week(even)) == ""
    assert volume(week(fewer)) == "5,880 rows came, 8,400 were expected"
    assert volume(week({0: 20, 200: 14})) == ""  # so few say nothing
    assert volume(week({160: 500, **late})) == ""  # the week before was not seen whole


Alarms = Callable[[str, float, int], dict[str, str]]


@pytest.fixture(scope="module")
def alarms() -> Alarms:
    """What is said of 5,000 rows of credit with a drift put in.

    They are held against 8,000 others, scored by a model that learned from 10,000 others still.
    """
    table = pd.read_csv(ROOT / "data" / "credit.csv.gz").drop(columns="customer_id")
    table = table.sample(frac=1, random_state=0, ignore_index=True)
    kind = kind_of(read_task(ROOT / "tasks" / "credit.yaml"))
    outcomes, rows = kind.outcomes(table), table.drop(columns=kind.task.target.column)
    model = HistGradientBoostingClassifier(max_iter=40, random_state=0)
    model.fit(rows[:10000], outcomes[:10000])

    def window(rows: pd.DataFrame, outcomes: Array) -> Window:
        scores = model.predict_proba(rows)[:, 1]
        return window_of(kind, rows, scores, outcomes)

    reference = window(rows[10000:18000], outcomes[10000:18000])

    def said(drift: str, size: float, seed: int) -> dict[str, str]:
        rng = np.random.default_rng(seed)
        some = 18000 + rng.permutation(len(table) - 18000)[:5000]
        arrivals = Arrivals(rows.iloc[some].reset_index(drop=True), outcomes[some])
        moved = DRIFTS[drift].change(arrivals, rows.columns[0], size, rng)
        return alarms_of(reference, window(*moved), list(rows), 5000)

    return said


@pytest.mark.parametrize(
    ("drift", "size"), [("covariate", 0.3), ("seasonal", -0.3), ("concept", 0.3), ("broken", 0.1)]
)
def test_a_drift_of_this_size_that_the_first_window_does_not_show(
    alarms: Alarms, drift: str, size: float
) -> None:
    assert all(alarms(drift, size, seed) for seed in range(3))


@pytest.mark.parametrize("windows", [20, pytest.param(200, marks=pytest.mark.prove)])
def test_windows_without_drift_that_raise_an_alarm(alarms: Alarms, windows: int) -> None:
    assert sum(bool(alarms("none", 0, seed)) for seed in range(windows)) <= 0.05 * windows
