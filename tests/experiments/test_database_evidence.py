"""What only a decisions database can have."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from ml_workflow.errors import Refusal
from ml_workflow.experiments.health import departure
from ml_workflow.experiments.lifecycle import start
from ml_workflow.experiments.opening import open_evidence
from ml_workflow.experiments.plan import DAY, read_plan
from ml_workflow.experiments.tally import sum_by_day
from ml_workflow.task.definition import ABTest, Guardrail
from tests.experiments.traffic import ABTEST, NOW, START, traffic

Change = Callable[[str], None]


def test_the_score_can_be_the_covariate(url: str) -> None:
    sums = sum_by_day(open_evidence(url, ABTest(covariate="score"), now=NOW), 0.0)
    assert sums["x"].sum() == pytest.approx(traffic(200)["covariate"].sum())


def test_several_outcomes_of_a_decision_are_one_decision(url: str, change: Change) -> None:
    before = sum_by_day(open_evidence(url, ABTEST, now=NOW), 7 * DAY)
    change(
        "INSERT INTO outcomes (idempotency_key, decision, value, event_time, arrival_time) "
        "SELECT 'again', decision, 100, event_time, arrival_time + 60 FROM outcomes "
        "WHERE decision = 'd0'"
    )
    evidence = open_evidence(url, ABTEST, now=NOW)
    after = sum_by_day(evidence, 7 * DAY)
    assert evidence.is_repeated and after["d"].sum() == before["d"].sum() == 200
    assert after["y"].sum() == pytest.approx(before["y"].sum() + 100)
    assert sum_by_day(evidence, 7 * DAY, "action act")["y"].sum() == 100
    assert after["silent"].sum() == 0


def test_what_is_decided_after_the_kill_is_no_evidence(url: str, change: Change) -> None:
    change(f"UPDATE experiments SET killed = {START + 5 * DAY}")
    sums = sum_by_day(open_evidence(url, ABTest(), now=NOW), 0.0)
    assert sums["exposed"].sum() == (traffic(200)["decided"] < START + 5 * DAY).sum()


def test_an_experiment_is_started_with_the_plan_of_a_decision_bound_to_it(
    url: str, change: Change, tmp_path: Path
) -> None:
    path = tmp_path / "decision.json"
    path.write_text(json.dumps({"outcome": "ship", "plan": {"units": 300, "metric": "money"}}))
    engine = sa.create_engine(url)
    start(engine, "green-button", "penguins", 0.5, 1.0, plan=read_plan(path))
    engine.dispose()
    evidence = open_evidence(url, ABTest(), experiment="green-button", now=NOW)
    assert evidence.plan.units == 300 and departure(evidence, "money") == ""
    change("UPDATE experiments SET arm_salt = 'b'")
    assert open_evidence(url, ABTest(), experiment="green-button").is_changed


def test_an_experiment_is_named_where_there_are_several(url: str, change: Change) -> None:
    change(
        "INSERT INTO experiments (id, inclusion_salt, arm_salt, phases, plan, shadow) "
        "SELECT 'red-button', 'x', 'y', phases, plan, shadow FROM experiments"
    )
    for name, said in [
        ("", r"holds 2 experiments \(blue-button, red-button\): name one by `experiment`"),
        ("bleu-button", "There is no experiment 'bleu-button' .* Did you mean 'blue-button'"),
    ]:
        with pytest.raises(Refusal, match=said):
            open_evidence(url, ABTest(), experiment=name)
    with pytest.raises(Refusal, match="Experiment red-button has no exposures"):
        sum_by_day(open_evidence(url, ABTest(), experiment="red-button"), 0.0)


def test_what_cannot_be_read_is_a_sentence_without_secrets(url: str, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    clicks = ABTest(guardrails={"clicks": Guardrail(margin=1.0)})
    for where, abtest, mapping, said in [
        (f"sqlite:///{tmp_path / 'nothing.db'}", ABTest(), "", "does not exist"),
        (f"sqlite:///{tmp_path / 'empty.db'}", ABTest(), "", "did not answer"),
        ("postgresql://a:hidden-word@localhost:1/nothing", ABTest(), "", "did not answer"),
        (url, clicks, "", "abtest.guardrails.clicks is no metric of a decisions database"),
        (url, ABTest(), "a=b", "is a decisions database: leave it out"),
    ]:
        with pytest.raises(Refusal, match=said) as refused:
            open_evidence(where, abtest, mapping=mapping)
        assert "hidden-word" not in str(refused.value)
    assert not (tmp_path / "nothing.db").exists()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_reading_leaves_no_file_beside_a_sqlite_database(url: str, tmp_path: Path) -> None:
    sum_by_day(open_evidence(url, ABTest(), now=NOW), 0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["new.db"]
