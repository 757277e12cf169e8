"""More than one source: joins on the unit, histories summed up, nothing from after the decision."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from ml_workflow.data.joins import examples, inputs, sources
from ml_workflow.data.tables import read_table
from ml_workflow.errors import Refusal
from ml_workflow.store import files
from ml_workflow.task.file import as_task
from ml_workflow.task.definition import Task
from tests.conftest import PASSWORD, copy_of_the_project, surroundings, workflow

CUSTOMERS = pd.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "decided": pd.to_datetime(["2026-03-01"] * 4),
        "age": [30, 40, 50, 60],
        "left": [0, 1, 0, 1],
    }
)
PAYMENTS = pd.DataFrame(
    {
        "id": [1, 1, 1, 2, 2, 9],
        "paid": pd.to_datetime(
            ["2026-01-01", "2026-02-01", "2026-04-01", "2026-02-28", "2026-03-01", "2026-01-01"]
        ),
        "amount": [10.0, 20.0, 1000.0, 5.0, 7000.0, 3.0],
    }
)


def task_of(
    folder: Path, *others: dict[str, Any], first: dict[str, Any] | None = None, **more: Any
) -> Task:
    """A task over the customers and other sources."""
    CUSTOMERS.to_parquet(folder / "customers.parquet")
    PAYMENTS.to_parquet(folder / "payments.parquet")
    start = {"name": "customers", "uri": str(folder / "customers.parquet"), **(first or {})}
    return as_task(
        {
            "name": "t",
            "question": "?",
            "unit": "id",
            "sources": [start, *others],
            "target": {"column": "left", "kind": "binary", "positive": 1},
        }
        | more,
        "t.yaml",
    )


def payments(folder: Path, **more: Any) -> dict[str, Any]:
    """The history as a source."""
    return {"name": "payments", "uri": str(folder / "payments.parquet"), **more}


SUMS = {"payments": "count(*)", "total": "sum(amount)", "largest": "max(amount)"}


def joined(task: Task) -> pd.DataFrame:
    """The task's examples."""
    return examples(task, sources(task))


def test_a_history_becomes_one_row_a_unit_by_sql(tmp_path: Path) -> None:
    frame = joined(task_of(tmp_path, payments(tmp_path, aggregate=SUMS)))
    assert frame["id"].tolist() == [1, 2, 3, 4]
    assert frame["payments"].tolist() == [3, 2, 0, 0]
    assert frame["total"].tolist()[:2] == [1030, 7005] and frame["total"].isna().tolist() == [
        False,
        False,
        True,
        True,
    ]


def test_what_was_known_only_later_does_not_count(tmp_path: Path) -> None:
    frame = joined(
        task_of(
            tmp_path, payments(tmp_path, aggregate=SUMS, time="paid"), first={"time": "decided"}
        )
    )
    assert frame["payments"].tolist() == [2, 1, 0, 0]
    assert frame["largest"].tolist()[:2] == [20, 5]


def test_units_that_repeat_each_see_their_own_past(tmp_path: Path) -> None:
    task = task_of(
        tmp_path, payments(tmp_path, aggregate=SUMS, time="paid"), first={"time": "decided"}
    )
    twice = pd.concat(
        [CUSTOMERS, CUSTOMERS.assign(decided=pd.Timestamp("2026-05-01"))], ignore_index=True
    )
    twice.to_parquet(tmp_path / "customers.parquet")
    assert joined(task)["payments"].tolist() == [2, 1, 0, 0, 3, 2, 0, 0]


def test_an_outcome_known_later_is_taken_from_then_on(tmp_path: Path) -> None:
    later = payments(
        tmp_path, aggregate={"spent": "sum(amount)"}, time="paid", available="after decision"
    )
    task = task_of(
        tmp_path, later, first={"time": "decided"}, target={"column": "spent", "kind": "regression"}
    )
    frame = joined(task)
    assert frame["spent"].tolist() == [1000, 7000] and frame.attrs["no_target"] == 2


def test_a_source_from_after_the_decision_gives_the_target_and_no_input(tmp_path: Path) -> None:
    pd.DataFrame(
        {"id": [1, 2, 3, 4], "left": [0, 1, 0, 1], "reason": ["", "price", "", "moved"]}
    ).to_csv(tmp_path / "after.csv", index=False)
    after = {"name": "after", "uri": str(tmp_path / "after.csv"), "available": "after decision"}
    task = task_of(tmp_path, after)
    CUSTOMERS.drop(columns="left").to_parquet(tmp_path / "customers.parquet")
    frame = joined(task)
    assert (
        "reason" not in frame
        and frame["left"].tolist() == [0, 1, 0, 1]
        and "reason" not in inputs(task, frame)
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({}, "several become one"),
        ({"aggregate": {"x": "sum(amout)"}}, "'amout'.*amount"),
        ({"aggregate": {"x": "(select 1)"}}, "subquery is not allowed"),
        ({"aggregate": {"x": "sum(amount) over ()"}}, "window"),
        ({"aggregate": {"x": "getenv('HOME')"}}, "not allowed|cannot be computed"),
        ({"aggregate": "no_such_function"}, "02_dataset exports no such function"),
        (
            {"available": "after decision", "aggregate": {"x": "sum(amount)"}},
            "known only after the decision",
        ),
    ],
)
def test_a_source_that_does_not_fit_is_refused_in_a_sentence(
    source: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match=said):
        joined(task_of(tmp_path, payments(tmp_path, **source)))


def test_keys_of_different_kinds_are_refused(tmp_path: Path) -> None:
    task = task_of(tmp_path, payments(tmp_path, aggregate=SUMS))
    PAYMENTS.assign(id=PAYMENTS["id"].map("c{}".format)).to_parquet(tmp_path / "payments.parquet")
    with pytest.raises(Refusal, match="numbers in one source and text in another"):
        joined(task)


def test_a_time_needs_the_moment_of_the_decision(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"customers.* has none to compare it with"):
        task_of(tmp_path, payments(tmp_path, aggregate=SUMS, time="paid"))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_is_a_source(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    shop = {
        "name": "payments",
        "uri": filled(kind, tmp_path, request),
        "query": "SELECT * FROM payments WHERE amount < 100",
        "aggregate": SUMS,
        "time": "paid",
    }
    assert joined(task_of(tmp_path, shop, first={"time": "decided"}))["payments"].tolist() == [
        2,
        1,
        0,
        0,
    ]
    with pytest.raises(Refusal, match=r"did not answer the query.*paymnts"):
        joined(
            task_of(tmp_path, shop | {"query": "SELECT * FROM paymnts"}, first={"time": "decided"})
        )


def test_the_password_of_a_database_stays_in_the_environment(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = filled("postgresql", tmp_path, request)
    project = copy_of_the_project(tmp_path / "project")
    env = surroundings(tmp_path) | {"SHOP_PASSWORD": PASSWORD}
    hidden = url.replace(PASSWORD, "${SHOP_PASSWORD}")
    query = "SELECT p.*, amount > 15 AS large FROM payments p CROSS JOIN generate_series(1, 60)"
    done = workflow(
        "run",
        hidden,
        "--query",
        query,
        "--target",
        "large",
        "--force",
        "-p",
        "time_budget=1",
        env=env,
        cwd=project,
    )
    wrong = workflow(
        "run",
        hidden,
        "--query",
        query,
        "--target",
        "large",
        env=env | {"SHOP_PASSWORD": PASSWORD + "!"},
        cwd=project,
    )
    assert done.returncode in (0, 2, 3) and wrong.returncode == 2, done.stdout + done.stderr
    said = [done.stdout, done.stderr, wrong.stdout, wrong.stderr]
    said += [
        p.read_bytes().decode("utf-8", "replace")
        for folder in (tmp_path / "reports", project / "tasks", tmp_path / "mlruns")
        for p in folder.rglob("*")
        if p.is_file()
    ]
    said.append((tmp_path / "mlflow.db").read_bytes().decode("utf-8", "replace"))
    assert len(said) > 10 and any("SHOP_PASSWORD" in text for text in said)
    assert not any(PASSWORD in text for text in said)


def filled(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """The URL of a database of this kind that holds the payments."""
    url = (
        f"sqlite:///{folder}/shop.db" if kind == "sqlite" else request.getfixturevalue("postgres")()
    )
    engine = sa.create_engine(url)
    PAYMENTS.to_sql("payments", engine, index=False)
    engine.dispose()
    return str(url)


def test_a_new_file_in_a_folder_is_something_new_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "read", {})
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("x,y\n1,2\n")
        assert len(read_table(str(tmp_path))) == (1 if name == "a" else 2)
        before, files.provenance[str(tmp_path)] = files.provenance[str(tmp_path)], ""
        assert before == files.digest(tmp_path)
