"""The same experiment through SQLite, PostgreSQL, CSV and Parquet: equal sums, and a sentence for all that can be wrong."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from ml_workflow.errors import Refusal
from ml_workflow.experiments.evidence import (
    DAY,
    Evidence,
    bound,
    delays,
    departures,
    open_evidence,
    summed,
)
from ml_workflow.experiments.health import Facts, checkup
from ml_workflow.experiments.judging import health
from ml_workflow.experiments.lifecycle import read_plan, start
from ml_workflow.experiments.looks import effect_in, guard, looks_in, sums_in
from ml_workflow.experiments.plan import metric_of
from ml_workflow.statistics.sums import Sums, sums_of
from ml_workflow.store import database
from ml_workflow.task.file import read_task, task_path

START = 1_800_000_000.0 // DAY * DAY
NAME, SALTS, WEIGHTS = (
    "blue-button",
    {"inclusion_salt": "a", "arm_salt": "b"},
    {"current": 0.5, "release": 0.5},
)
Store = Callable[..., Evidence]


def traffic(
    units: int = 2_000, *, rows: int = 1, effect: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """Units over ten days, each with one or several decisions whose outcome comes within three days."""
    g = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), rows)
    exposed = START + np.sort(g.uniform(0, 10 * DAY, units))[unit]
    release = np.tile([0, 1], units)[:units][unit] == 1
    x = g.normal(50, 10, units)[unit]
    decided = exposed + (np.tile(np.arange(rows), units) * 600.0 if rows > 1 else 0)
    frame = pd.DataFrame(
        {
            "unit": [f"u{i}" for i in unit],
            "arm": np.where(release, "release", "current"),
            "phase": 1,
            "exposed": exposed,
            "decided": decided,
        }
    )
    frame["time"] = decided + g.uniform(0, 3 * DAY, len(frame))
    return frame.assign(
        value=0.7 * x + g.normal(0, 7, len(frame)) + effect * release,
        covariate=x,
        action=np.where(release, "act", "leave"),
        side=np.where(unit % 3, "left", "right"),
    )


def written(engine: sa.Engine, frame: pd.DataFrame, **about: Any) -> None:
    """The frame as the API would have written it; rows whose value is missing have no outcome."""
    first = frame.drop_duplicates("unit")
    identity = [f"d{i}" for i in range(len(frame))]
    known = {
        "id": NAME,
        **SALTS,
        "phases": [{"weights": WEIGHTS, "inclusion": 1.0}],
        "plan": bound({"units": 4_000, "metric": "money"}, SALTS, WEIGHTS),
        **about,
    }
    come = frame.assign(decision=identity).dropna(subset="value")
    rows = {
        "experiments": pd.DataFrame([known]),
        "exposures": pd.DataFrame(
            {
                "experiment": NAME,
                "unit": first["unit"],
                "arm_assigned": first["arm"],
                "arm_served": first["arm"],
                "phase": first["phase"],
                "time": first["exposed"],
            }
        ),
        "decisions": pd.DataFrame(
            {
                "id": identity,
                "unit": frame["unit"],
                "row": [
                    {"spend": x, "side": s}
                    for x, s in zip(frame["covariate"], frame["side"], strict=True)
                ],
                "version": frame["arm"],
                "score": frame["covariate"],
                "experiment": NAME,
                "arm": frame["arm"],
                "action": frame["action"],
                "propensity": 1.0,
                "fallback": False,
                "time": frame["decided"],
            }
        ),
        "outcomes": pd.DataFrame(
            {
                "decision": come["decision"],
                "value": come["value"],
                "event_time": come["time"],
                "arrival_time": come["time"],
                "idempotency_key": come["decision"],
            }
        ),
    }
    database.insert_frames(engine, {name: part for name, part in rows.items() if len(part)})


NOW = START + 30 * DAY
ASKED: dict[str, Any] = {
    "covariate": "spend",
    "metrics": ["action act"],
    "segments": ["side"],
    "now": NOW,
}


@pytest.fixture(params=["sqlite", "postgresql", "csv", "parquet"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A function that keeps a frame in one of the places evidence comes from, and opens it."""

    def keep(frame: pd.DataFrame, **about: Any) -> Evidence:
        if request.param in ("csv", "parquet"):
            path = tmp_path / f"evidence.{request.param}"
            frame = frame.rename(columns={"value": "revenue", "unit": "user"}).assign(
                **{"action act": (frame["action"] == "act").astype(float)}
            )
            frame.to_csv(path, index=False) if request.param == "csv" else frame.to_parquet(path)
            return open_evidence(
                str(path),
                mapping="revenue=value, user=unit",
                metrics=["action act"],
                segments=["side"],
                now=NOW,
            )
        url = (
            f"sqlite:///{tmp_path / 'decisions.db'}"
            if request.param == "sqlite"
            else request.getfixturevalue("postgres")()
        )
        engine = (
            database.new_decisions(tmp_path / "decisions.db")
            if request.param == "sqlite"
            else sa.create_engine(url)
        )
        database.metadata.create_all(engine)
        written(engine, frame, **about)
        engine.dispose()
        return open_evidence(url, **ASKED)

    return keep


def test_sums_are_those_of_the_rows_wherever_they_stand(store: Store) -> None:
    frame = traffic()
    evidence = store(frame)
    rows = summed(evidence, 7 * DAY)
    assert not evidence.repeated and set(rows["day"]) == set(frame["exposed"] // DAY)
    for arm, part in frame.groupby("arm"):
        assert vars_of(sums_in(rows[rows["arm"] == arm])) == pytest.approx(
            vars_of(sums_of(part["value"], covariate=part["covariate"]))
        )
    acted = summed(evidence, 7 * DAY, "action act").groupby("arm")["y"].sum()
    assert acted.to_dict() == {"current": 0.0, "release": 1_000.0}
    sides = summed(evidence, 7 * DAY, segment="side").groupby("side")["units"].sum()
    assert sides.to_dict() == frame["side"].value_counts().to_dict()


def test_a_unit_that_decides_often_counts_once(store: Store) -> None:
    frame = traffic(300, rows=3)
    evidence = store(frame)
    rows = summed(evidence, 7 * DAY)
    assert evidence.repeated and evidence.doubled == 0
    for arm, part in frame.groupby("arm"):
        assert vars_of(sums_in(rows[rows["arm"] == arm])) == pytest.approx(
            vars_of(sums_by_unit(part))
        )


def sums_by_unit(rows: pd.DataFrame) -> Sums:
    """The sums of one arm whose units decide more than once: a mean as the ratio of each unit's sums."""
    unit = rows.groupby("unit")
    return sums_of(unit["value"].sum(), denominator=unit.size(), covariate=unit["covariate"].mean())


def vars_of(sums: Any) -> list[float]:
    return [getattr(sums, name) for name in sums.__dataclass_fields__]


def test_outcomes_count_only_within_the_window_of_ripe_units(store: Store) -> None:
    frame = traffic()
    evidence = store(frame)
    window, now = 2 * DAY, evidence.now
    late = summed(replace(evidence, now=START + 8 * DAY), window)
    ripe = frame[frame["decided"] <= START + 8 * DAY - window]
    inside = ripe["time"] <= ripe["decided"] + window
    assert late["units"].sum() == len(ripe) < len(frame) == late["exposed"].sum() and now == NOW
    assert (
        late["y"].sum() == pytest.approx(ripe["value"][inside].sum())
        and late["silent"].sum() == (~inside).sum()
    )


def test_delays_are_counted_by_hour(store: Store) -> None:
    frame = traffic()
    found = delays(store(frame))
    hours = ((frame["time"] - frame["decided"]) // 3600).value_counts()
    assert found.groupby("delay")["count"].sum().to_dict() == hours.to_dict()


# What each fault is called, and how a sound experiment gets it: (window in days, frame, what is said).
def _facts(evidence: Evidence, window: float, covariate: bool = False) -> Facts:
    return Facts(
        evidence.name,
        [p["weights"] for p in evidence.phases],
        window,
        evidence.now,
        evidence.strays,
        evidence.doubled,
        evidence.crossed,
        covariate,
    )


def failed(evidence: Evidence, days: float = 7, covariate: bool = False) -> dict[str, str]:
    checks = checkup(
        summed(evidence, days * DAY), _facts(evidence, days * DAY, covariate), delays(evidence)
    )
    return {check.name: check.said for check in checks if not check.passed}


def test_a_sound_experiment_passes_every_check(store: Store) -> None:
    assert failed(store(traffic()), covariate=True) == {}


def test_lost_units_are_seen_with_their_counts(store: Store) -> None:
    frame = traffic()
    said = failed(store(frame.drop(frame[frame["arm"] == "release"].index[:200])))
    assert (
        "current 1,000 (50% planned), release 800 (50% planned)" in said["sample ratio"]
        and "find where units" in said["sample ratio"]
    )


def test_outcomes_before_exposure_are_counted(store: Store) -> None:
    frame = traffic()
    frame.loc[frame.index[:3], "time"] = frame["exposed"][:3] - 60
    said = failed(store(frame))["exposure first"]
    assert (
        "2 of 1,000 units of current and 1 of 1,000 units of release have an outcome from before the exposure"
        in said
        and "clocks" in said
    )


def test_a_worth_that_is_not_finite_is_counted(store: Store) -> None:
    frame = traffic()
    frame.loc[frame.index[:2], "value"] = np.inf
    said = failed(store(frame))["finite metric"]
    assert (
        "1 of 1,000 units of current and 1 of 1,000 units of release have a worth that is missing or infinite: mend these rows"
        in said
    )


def test_a_constant_metric_is_told(store: Store) -> None:
    said = failed(store(traffic().assign(value=3.0)))["metric varies"]
    assert "zero variance, it is 3 for all 1,000 units of current and 1,000 of release" in said


def test_a_missing_covariate_is_counted(store: Store) -> None:
    frame = traffic()
    frame.loc[frame.index[:5], "covariate"] = np.nan
    frame["covariate"] = frame["covariate"].astype(object).where(frame["covariate"].notna(), None)
    said = failed(store(frame), covariate=True)["covariate"]
    assert (
        "3 of 1,000 units of current and 2 of 1,000 units of release have no covariate" in said
        and "abtest.covariate" in said
    )


def test_a_covariate_that_differs_by_arm_is_refused(store: Store) -> None:
    frame = traffic()
    assert (
        "known before the exposure"
        in failed(
            store(frame.assign(covariate=frame["covariate"] + 9 * (frame["arm"] == "release"))),
            covariate=True,
        )["covariate"]
    )


def test_a_window_longer_than_the_time_passed_says_when_to_come_again(store: Store) -> None:
    said = failed(store(traffic()), days=60)["ripe units"]
    assert (
        "only 0 of 1,000 units of current are ripe, as outcomes take 60 days and 30.0 have passed: run again after 2027-03-"
        in said
    )


def test_outcomes_slower_than_declared_are_told(store: Store) -> None:
    assert "set it to 4 days" in failed(store(traffic(20_000)), days=1)["outcomes in the window"]


def test_a_heavy_tail_blocks_small_arms(store: Store) -> None:
    frame = traffic(200)
    frame.loc[1, "value"] = 1e5
    assert "too few for the bounds to hold" in failed(store(frame))["tails"]


def test_an_arm_without_units_is_refused(store: Store) -> None:
    frame = traffic()
    with pytest.raises(
        Refusal, match=r"the arm release is empty, current has 1,000 units: look at the weights"
    ):
        summed(store(frame[frame["arm"] == "current"]), 0.0)


def test_no_exposures_are_refused(store: Store) -> None:
    with pytest.raises(Refusal, match="has no exposures"):
        summed(store(traffic().head(0)), 0.0)


def test_an_arm_of_one_unit_is_told(store: Store) -> None:
    frame = traffic()
    assert (
        "only 1 of 1 units of release"
        in failed(store(frame.drop(frame[frame["arm"] == "release"].index[1:])))["ripe units"]
    )


def test_phases_are_compared_each_in_itself(store: Store) -> None:
    frame = traffic(4_000)
    late = frame["exposed"] > START + 5 * DAY
    dropped = frame.index[~late & (frame["arm"] == "release")][::4].append(
        frame.index[late & (frame["arm"] == "current")][::4]
    )
    moved = frame.assign(phase=np.where(late, 2, 1), value=frame["value"] + 100 * late).drop(
        dropped
    )
    effect = effect_in(summed(store(moved), 7 * DAY))
    assert effect and abs(effect.difference) < 4 * effect.standard_error < 4


def test_the_bounds_of_looks_hold_and_follow_the_plan(store: Store) -> None:
    rows = summed(store(traffic(effect=4.0)), 7 * DAY)
    planned, unplanned = (
        looks_in(rows, planned=4_000, expected=4_000),
        looks_in(rows, planned=None, expected=4_000),
    )
    assert {look.bound.regime for look in planned} == {"planned"} and {
        look.bound.regime for look in unplanned
    } == {"unplanned"}
    assert {look.bound.regime for look in looks_in(rows, planned=500, expected=500)} == {
        "planned",
        "overrun",
    }
    assert [look.effect.units for look in planned] == sorted(
        {look.effect.units for look in planned}
    )
    assert planned[-1].effect.lower < 4 < planned[-1].effect.upper and planned[
        -1
    ].effect.variance_ratio == pytest.approx(0.5, abs=0.1)


def test_a_guardrail_is_held_only_when_shown(store: Store) -> None:
    rows = summed(store(traffic(effect=-1.0)), 7 * DAY)
    assert guard(rows, 3.0, 2.0)["held"] and not guard(rows, 1.0, 2.0)["held"]
    assert guard(rows, 0.1, 2.0)["broken"] and not guard(rows, 0.1, 9.0)["broken"]


# What only a database can have.
@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new decisions database."""
    url = (
        f"sqlite:///{tmp_path / 'decisions.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres")()
    )
    engine = sa.create_engine(url)
    database.metadata.create_all(engine)
    written(engine, traffic(200))
    engine.dispose()
    return str(url)


def changed(url: str, statement: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


def test_the_score_can_be_the_covariate(url: str) -> None:
    rows = summed(open_evidence(url, covariate="score", now=NOW), 0.0)
    assert rows["x"].sum() == pytest.approx(traffic(200)["covariate"].sum())


def test_units_without_an_outcome_count_as_nothing_and_are_told_where_arms_differ(url: str) -> None:
    changed(
        url,
        "DELETE FROM outcomes WHERE decision IN (SELECT id FROM decisions WHERE version = 'release')",
    )
    evidence = open_evidence(url, now=NOW)
    assert summed(evidence, 7 * DAY).groupby("arm")["units"].sum().to_dict() == {
        "current": 100,
        "release": 100,
    }
    assert (
        "0 of 100 ripe units of current and 100 of 100 ripe units of release have no outcome"
        in failed(evidence)["outcomes in both arms"]
    )


def test_several_outcomes_of_a_decision_are_one_decision(url: str) -> None:
    before = summed(open_evidence(url, metrics=["action act"], now=NOW), 7 * DAY)
    changed(
        url,
        "INSERT INTO outcomes (idempotency_key, decision, value, event_time, arrival_time) SELECT 'again ' || idempotency_key, decision, 100, event_time, arrival_time + 60 FROM outcomes WHERE decision = 'd0'",
    )
    evidence = open_evidence(url, metrics=["action act"], now=NOW)
    after = summed(evidence, 7 * DAY)
    assert (
        evidence.repeated
        and after["d"].sum() == before["d"].sum() == 200
        and after["y"].sum() == pytest.approx(before["y"].sum() + 100)
    )
    assert summed(evidence, 7 * DAY, "action act")["y"].sum() == 100 and after["silent"].sum() == 0


def test_an_outcome_for_an_unknown_unit_is_told(url: str) -> None:
    engine = sa.create_engine(url)
    database.insert_frames(
        engine,
        {
            "strays": pd.DataFrame(
                [
                    {
                        "idempotency_key": "k",
                        "decision": "nobody's",
                        "unit": None,
                        "value": 1.0,
                        "event_time": START,
                        "arrival_time": START,
                    }
                ]
            )
        },
    )
    engine.dispose()
    assert failed(open_evidence(url, now=NOW))["known units"].startswith(
        "Experiment blue-button: 1 outcomes belong to no known unit or decision"
    )


@pytest.mark.parametrize("change", ["arm_salt = 'c'", "inclusion_salt = 'c'"])
def test_a_salt_changed_midway_is_told(url: str, change: str) -> None:
    assert departures(open_evidence(url, now=NOW), "money") == ("", "")
    changed(url, f"UPDATE experiments SET {change}")
    assert (
        "Experiment blue-button: its salts, weights or plan were changed"
        in departures(open_evidence(url, now=NOW), "money")[0]
    )


def test_weights_or_a_metric_changed_midway_are_told(url: str) -> None:
    evidence = open_evidence(url, now=NOW)
    other = [{"weights": {"current": 0.8, "release": 0.2}}]
    assert "weights or plan were changed" in departures(replace(evidence, phases=other), "money")[0]
    assert departures(replace(evidence, phases=[*evidence.phases, *other]), "money") == (
        "",
        "Experiment blue-button has other weights from phase 2 on: arms are compared within phases.",
    )
    assert (
        "was planned for the metric 'money', the task now says 'clicks'"
        in departures(evidence, "clicks")[0]
    )
    assert "no planned number of units" in departures(replace(evidence, plan={}), "money")[1]


def test_more_units_than_planned_are_told(tmp_path: Path) -> None:
    task = read_task(task_path("penguins"))
    engine = database.new_decisions(tmp_path / "decisions.db")
    written(
        engine, traffic(200), plan=bound({"units": 150, "metric": metric_of(task)}, SALTS, WEIGHTS)
    )
    engine.dispose()
    evidence = open_evidence(f"sqlite:///{tmp_path / 'decisions.db'}", now=NOW)
    found = health(task, evidence, summed(evidence, 0.0), delays(evidence), 0.0, False)[-1]
    assert (
        found.passed
        and found.said
        == "Experiment blue-button: 200 units are more than the 150 planned, the bounds are now those of a sequence."
    )


def test_what_is_decided_after_the_kill_or_in_shadow_is_no_evidence(url: str) -> None:
    changed(url, f"UPDATE experiments SET killed = {START + 5 * DAY}")
    assert (
        summed(open_evidence(url, now=NOW), 0.0)["exposed"].sum()
        == (traffic(200)["decided"] < START + 5 * DAY).sum()
    )
    shadow = replace(open_evidence(url, now=NOW), shadow=True)
    assert (
        "runs in shadow" in departures(shadow, "money")[0]
        and departures(shadow, "money", aa=True)[0] == ""
    )


def test_an_experiment_is_started_with_the_plan_of_a_decision_bound_to_it(
    url: str, tmp_path: Path
) -> None:
    (tmp_path / "decision.json").write_text(
        json.dumps({"outcome": "keep running", "plan": {"units": 300, "metric": "money"}})
    )
    engine = sa.create_engine(url)
    start(
        engine, "green-button", "penguins", 0.5, 1.0, False, read_plan(tmp_path / "decision.json")
    )
    engine.dispose()
    evidence = open_evidence(url, experiment="green-button", now=NOW)
    assert evidence.plan["units"] == 300 and departures(evidence, "money") == ("", "")
    assert "were changed" in departures(replace(evidence, salts=SALTS), "money")[0]


def test_an_experiment_is_named_where_there_are_several(url: str) -> None:
    changed(
        url,
        "INSERT INTO experiments (id, inclusion_salt, arm_salt, phases, plan, shadow) SELECT 'red-button', 'x', 'y', phases, plan, shadow FROM experiments",
    )
    with pytest.raises(
        Refusal, match=r"holds 2 experiments \(blue-button, red-button\): name one by `experiment`"
    ):
        open_evidence(url)
    with pytest.raises(
        Refusal, match=r"There is no experiment 'bleu-button' .* Did you mean 'blue-button'"
    ):
        open_evidence(url, experiment="bleu-button")
    with pytest.raises(Refusal, match="Experiment red-button has no exposures"):
        summed(open_evidence(url, experiment="red-button"), 0.0)


def test_a_database_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="does not exist"):
        open_evidence(f"sqlite:///{tmp_path / 'nothing.db'}")
    (tmp_path / "empty.db").touch()
    with pytest.raises(Refusal, match="did not answer"):
        open_evidence(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(Refusal) as refused:
        open_evidence("postgresql://someone:hidden-word@localhost:1/nothing")
    assert "hidden-word" not in str(refused.value)


# What only a table can have.
def table(tmp_path: Path, frame: pd.DataFrame) -> str:
    frame.to_csv(tmp_path / "table.csv", index=False)
    return str(tmp_path / "table.csv")


def test_a_table_from_elsewhere_is_read_by_its_mapping(tmp_path: Path) -> None:
    frame = traffic().assign(
        arm=lambda f: f["arm"].map({"current": "A", "release": "B"}),
        ts=lambda f: pd.to_datetime(f["exposed"], unit="s"),
    )
    path = table(
        tmp_path,
        frame[["unit", "arm", "value", "ts"]].set_axis(
            ["user", "variant", "revenue", "ts"], axis=1
        ),
    )
    evidence = open_evidence(
        path, mapping="user=unit,variant=arm,revenue=value,ts=time,A=current,B=release"
    )
    assert evidence.final and failed(evidence, days=0) == {}
    assert summed(evidence, 0.0).groupby("arm")["y"].sum()["release"] == pytest.approx(
        frame["value"][frame["arm"] == "B"].sum()
    )


def test_a_unit_in_both_arms_and_a_row_twice_are_told(tmp_path: Path) -> None:
    frame = traffic(200)
    both = pd.concat([frame, frame.head(1).assign(arm="release"), frame.tail(2)])
    said = failed(
        open_evidence(
            table(tmp_path, both[["unit", "arm", "value", "time"]]), experiment="blue-button"
        ),
        days=0,
    )
    assert said["units in one arm"].startswith("Experiment blue-button: 1 units are in both arms")
    assert "have the same row more than once" in said["units once"]


def test_a_unit_with_rows_on_several_days_is_one_unit(tmp_path: Path) -> None:
    frame = traffic(300, rows=3).assign(time=lambda f: f["exposed"] + DAY * (f.index % 3))
    rows = summed(open_evidence(table(tmp_path, frame[["unit", "arm", "value", "time"]])), 0.0)
    assert rows["units"].sum() == 300 and rows["d"].sum() == 900


def test_rows_without_a_unit_are_outcomes_of_nobody(tmp_path: Path) -> None:
    frame = traffic(200)
    frame.loc[[3, 4], "unit"] = None
    assert (
        "2 outcomes belong to no known unit"
        in failed(open_evidence(table(tmp_path, frame[["unit", "arm", "value", "time"]])), days=0)[
            "known units"
        ]
    )


@pytest.mark.parametrize(
    ("mapping", "drop", "said"),
    [
        ("user=unit", "", "names the column 'user', which .* does not have"),
        ("unit=units", "", "names 'units', which is no column of evidence .* Did you mean 'unit'"),
        ("unit", "", "write theirs=ours"),
        ("", "value", "has no column 'value' .*: say by `mapping`"),
        ("release=current,current=other", "", "names 'other'"),
    ],
)
def test_a_wrong_mapping_is_a_sentence(tmp_path: Path, mapping: str, drop: str, said: str) -> None:
    frame = traffic(20)[["unit", "arm", "value", "time"]]
    with pytest.raises(Refusal, match=said):
        open_evidence(table(tmp_path, frame.drop(columns=drop) if drop else frame), mapping=mapping)


def test_other_arms_are_a_sentence(tmp_path: Path) -> None:
    frame = traffic(20)[["unit", "arm", "value", "time"]]
    with pytest.raises(
        Refusal,
        match=r"has the arm 'green' \(10 units\): arms are current and release; name them by `mapping`",
    ):
        summed(open_evidence(table(tmp_path, frame.replace({"arm": {"release": "green"}}))), 0.0)
    with pytest.raises(Refusal, match="neither a database URL nor a CSV"):
        open_evidence(str(tmp_path / "nothing.csv"))
    with pytest.raises(Refusal, match="1 of 20 rows have no time in 'time'"):
        open_evidence(table(tmp_path, frame.assign(time=[None, *frame["time"][1:]])))


def test_reading_leaves_no_file_beside_a_sqlite_database(tmp_path: Path) -> None:
    engine = database.new_decisions(tmp_path / "decisions.db")
    written(engine, traffic(200))
    engine.dispose()
    summed(open_evidence(f"sqlite:///{tmp_path / 'decisions.db'}", now=NOW), 0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["decisions.db"]
