"""Stage 04: the ledger has its rows, openings are counted, behaviour tests can fail, weak groups show, and errors' quantiles earn more."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml_workflow.data.corruptions import NOTHING, columns_of, matrix
from ml_workflow.decision.money import money_curve
from ml_workflow.decision.target import error_quantiles
from ml_workflow.decision.value import decide_by_value, value
from ml_workflow.model.behaviour import functionality, invariance
from ml_workflow.model.explain import dependence, importance
from ml_workflow.model.holdout import open_holdout
from ml_workflow.model.judging import halved
from ml_workflow.model.slices import slices
from ml_workflow.scale import direction
from ml_workflow.task.file import read_task
from ml_workflow.task.definition import Task
from tests.conftest import ROOT


def bikes(**costs: Any) -> Task:
    task = read_task(ROOT / "tasks" / "bikes.yaml")
    return task.model_copy(update={"value": task.value.model_copy(update=costs)})


def test_the_ledger_holds_a_row_for_each_step_and_only_gains_are_kept(finished: Path) -> None:
    kept = json.loads((finished / "files" / "ledger.json").read_text())
    steps = pd.DataFrame(kept["steps"]).set_index("step")
    assert {"half the data", "more data", "blending"} <= set(steps.index)
    assert {"log_loss", "change", "gain_lower", "gain", "gain_upper", "seconds", "kept"} <= set(
        steps
    )
    assert (
        steps["kept"] == np.where(steps["change"].isna() | (steps["change"] < 0), "kept", "dropped")
    ).all()
    assert steps.loc["blending", "log_loss"] <= steps.loc["more data", "log_loss"] + 1e-9
    assert kept["behaviour"] and all(kept["behaviour"].values())


def test_openings_of_a_holdout_are_counted(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads((finished / "files" / "ledger.json").read_text())["openings"] == []
    monkeypatch.setenv("ML_WORKFLOW_REPORTS", str(tmp_path / "reports"))
    assert open_holdout("credit", "abc", "first") == []
    assert [o["run"] for o in open_holdout("credit", "abc", "second")] == ["first"]
    assert [o["run"] for o in open_holdout("credit", "abc", "third")] == ["first", "second"]
    assert (
        open_holdout("credit", "abd", "fourth") == []
        and open_holdout("bikes", "abc", "fifth") == []
    )


@pytest.mark.parametrize(("over", "under", "share"), [(1, 9, 0.9), (4, 1, 0.2), (1, 1, 0.5)])
def test_the_quantile_of_the_errors_earns_more_than_the_mean_where_costs_differ(
    over: float, under: float, share: float
) -> None:
    rng, task = np.random.default_rng(0), bikes(over=over, under=under)
    scores, errors = rng.uniform(50, 100, 4000), rng.exponential(20, (2, 4000)) - 20
    frame = pd.DataFrame({"x": scores})
    quantiles = error_quantiles(scores, scores + errors[0], [])
    decided = decide_by_value(task, frame, scores, [], quantiles)
    assert decided[0] - scores[0] == pytest.approx(np.quantile(errors[0], share), abs=1.0)
    truth = scores + errors[1]
    assert value(task, frame, decided, truth).mean() > value(task, frame, scores, truth).mean()
    np.testing.assert_array_equal(decide_by_value(task, frame, scores, []), scores)


def test_the_quantile_follows_costs_that_differ_by_row() -> None:
    task = bikes(over=1, under="case when x > 0 then 9 else 1 end")
    decided = decide_by_value(
        task, pd.DataFrame({"x": [-1.0, 1.0]}), np.zeros(2), [], list(np.linspace(-50, 50, 101))
    )
    np.testing.assert_allclose(decided, [0.0, 40.0])


def test_classes_have_no_quantiles_of_errors() -> None:
    assert error_quantiles(np.zeros(3), np.zeros(3), ["a", "b", "c"]) is None


PENGUINS = read_task(ROOT / "tasks" / "penguins.yaml")
CREDIT = read_task(ROOT / "tasks" / "credit.yaml")


def release(score: Any, classes: list[str], contract: dict[str, Any]) -> Any:
    return SimpleNamespace(score=score, card={"classes": classes}, contract=contract)


def credit_rows() -> pd.DataFrame:
    return pd.read_csv(ROOT / "data" / "credit.csv.gz").head(60)


def by_rule(frame: pd.DataFrame) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-frame["PAY_0"].fillna(0).to_numpy(dtype=float))))


CONTRACT = {
    "PAY_0": {"type": "integer", "min": -3.0, "max": 9.0},
    "LIMIT_BAL": {"type": "number", "min": 0.0, "max": 1e6},
}


def test_a_sound_model_behaves() -> None:
    sound, rows = release(by_rule, ["negative", "positive"], CONTRACT), credit_rows()
    found = {
        name: held
        for test in (invariance, functionality, direction)
        for name, held in test(CREDIT, sound, rows).items()
    }
    assert len(found) == 6 and all(found.values())


@pytest.mark.parametrize(
    ("score", "test", "name"),
    [
        (
            lambda f: by_rule(f) * np.linspace(0, 1, len(f)),
            invariance,
            "the order of rows does not matter",
        ),
        (lambda f: by_rule(f) / len(f), invariance, "a row alone scores as among others"),
        (
            lambda f: by_rule(f) * f["customer_id"].to_numpy() / 1e6,
            invariance,
            "the unit does not matter",
        ),
        (
            lambda f: by_rule(f) + f["LIMIT_BAL"].to_numpy() * 0,
            functionality,
            "missing values score",
        ),
        (
            lambda f: by_rule(f) + (f["LIMIT_BAL"].to_numpy() >= 1e6),
            functionality,
            "extremes stay in range",
        ),
        (lambda f: 1 - by_rule(f), direction, "later payments do not lower the risk"),
    ],
)
def test_each_behaviour_test_can_fail(score: Any, test: Any, name: str) -> None:
    assert (
        test(CREDIT, release(score, ["negative", "positive"], CONTRACT), credit_rows())[name]
        is False
    )


def test_the_direction_test_of_credit_is_not_run_on_other_tables() -> None:
    assert (
        direction(PENGUINS, release(by_rule, [], {}), pd.DataFrame({"bill_length_mm": [1.0]})) == {}
    )


def test_importance_and_dependence_find_the_column_that_counts() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "strong": rng.normal(size=300),
            "idle": rng.normal(size=300),
            "kind": rng.choice(["a", "b"], 300),
        }
    )
    found = importance(
        lambda rows: (rows["strong"] - rows["truth"]).to_numpy() ** 2,
        frame.assign(truth=frame["strong"]),
        list(frame),
    )
    assert (
        found.index[0] == "strong"
        and found.loc["strong", "rise"] > 1
        and found.loc["idle", "rise"] == 0
    )
    curve = dependence(lambda rows: rows["strong"].to_numpy() * 2, frame, "strong")
    np.testing.assert_allclose(curve["score"], curve["value"] * 2)
    assert set(
        dependence(lambda rows: (rows["kind"] == "a").to_numpy(), frame, "kind")["score"]
    ) == {0.0, 1.0}


def test_a_weak_group_shows_and_a_fair_model_has_none() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "sex": rng.choice(["f", "m"], 2000),
            "age": rng.normal(40, 10, 2000),
            "few": ["x"] * 10 + ["y"] * 1990,
        }
    )
    loss = rng.exponential(1, 2000)
    assert not slices(frame, loss)["weak"].any()
    found = slices(frame, loss + (frame["sex"] == "f"))
    assert list(found[found["weak"]]["group"]) == ["f"] and found.loc[0, "loss"] == pytest.approx(
        0.5, abs=0.1
    )
    assert "x" not in set(found["group"])


def test_the_money_curve_is_highest_where_acting_stops_to_pay() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"LIMIT_BAL": rng.uniform(1e4, 5e5, 20000)})
    scores = rng.uniform(0, 0.5, 20000)
    truth = (rng.random(20000) < scores).astype(int)
    curve = money_curve(CREDIT, frame, scores, truth)
    best = curve["money"].idxmax() / len(curve)
    assert abs(best - (curve["expected"] > 0).mean()) < 0.05
    assert abs(curve["money"].iloc[-1]) < 1 and curve["share"].iloc[-1] == 1


def test_half_the_data_is_the_later_half_in_time_order() -> None:
    splits = [(np.arange(10), np.arange(10, 12))]
    assert list(halved(bikes(), splits, 0)[0][0]) == [5, 6, 7, 8, 9]
    assert len(halved(CREDIT, splits, 0)[0][0]) == 5 and list(halved(CREDIT, splits, 0)[0][1]) == [
        10,
        11,
    ]


def test_what_a_check_says_of_sound_rows_too_does_not_count_as_a_catch() -> None:
    rows = pd.DataFrame({"unit": range(100), "x": np.arange(100.0), "y": 0})
    columns = columns_of({"x": "number"}, "unit", "y", rows)

    def decide(frame: pd.DataFrame, scores: np.ndarray) -> np.ndarray:
        return np.where(scores > 50, "act", "leave").astype(object)

    found = matrix(
        rows,
        columns,
        lambda f: f["x"].to_numpy(dtype=float),
        decide,
        {"check": lambda frame, scores: {"always": "said"}},
        0,
    )
    assert (
        found.loc[NOTHING, "verdict"] == "check"
        and not (found.drop(index=NOTHING)["verdict"] == "check").any()
    )
    assert found.loc["the sign turned", "verdict"] == "missed"
    assert found.loc["columns in another order", "verdict"] == "harmless"
    assert found.loc["a column missing", "decisions changed"] == 1.0
    told = matrix(
        rows,
        columns,
        lambda f: f["x"].to_numpy(dtype=float),
        decide,
        {
            "check": lambda frame, scores: (
                {"low": ""}
                if (frame.get("x", pd.Series([0.0])).astype(str).str.startswith("-")).any()
                else {}
            )
        },
        0,
    )
    assert told.loc["the sign turned", "verdict"] == "check"
