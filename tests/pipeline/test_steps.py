"""A step gives the same rows in memory, out of core and on Dask, and what dies in between loses nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from lightgbm import LGBMClassifier

from benchmarks.pipeline import features, scores_of, scoring
from ml_workflow.data.parts import parquet_files, read
from ml_workflow.data.steps import Step, alike_first, query, run
from ml_workflow.dataset import payment_history
from ml_workflow.errors import Refusal
from ml_workflow.model.fitting import scored
from ml_workflow.model.release import keep_release
from ml_workflow.model.vectorizing import model_of
from tests.conftest import ROOT
from tests.pipeline import functions


@pytest.fixture(scope="module")
def credit() -> pd.DataFrame:
    return pd.read_csv(ROOT / "data" / "credit.csv.gz").head(6000)


@pytest.fixture(scope="module")
def release(credit: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("kept")
    (folder / "task.yaml").write_text((ROOT / "tasks" / "credit.yaml").read_text())
    (folder / "contract.json").write_text("{}")
    inputs = [c for c in payment_history(credit) if c not in ("customer_id", "default_next_month")]
    table = payment_history(credit)[inputs]
    model = model_of(LGBMClassifier(n_estimators=20, verbose=-1)).fit(
        table, credit["default_next_month"]
    )
    card = {"features": True, "inputs": inputs, "classes": ["negative", "positive"]}
    example = credit.head(50).assign(promised_0=scored(model, table.head(50)))
    return str(folder / "release"), keep_release(folder / "release", model, card, folder, example)


def by_unit(frame: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Sorted by the unit, its rows in the order they have."""
    return frame.sort_values(unit, kind="stable", ignore_index=True)


def write(frame: pd.DataFrame, folder: Path, files: int, group: int) -> Path:
    """A folder of Parquet files with small row groups."""
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(frame)), files)):
        frame.iloc[rows].to_parquet(folder / f"{number}.parquet", index=False, row_group_size=group)
    return folder


LONG = [
    pytest.param(*case, marks=pytest.mark.prove)
    for case in (("processes", 1, 100_000), ("processes", 3, 2_500), ("dask", 1, 7_000))
]


@pytest.mark.parametrize(("engine", "files", "at_once"), [("dask", 5, 1_500), *LONG])
def test_dataset_features_and_scores_are_those_of_pandas_whatever_the_engine_and_the_parts(
    engine: str,
    files: int,
    at_once: int,
    credit: pd.DataFrame,
    release: tuple[str, str],
    scheduler: str,
    tmp_path: Path,
) -> None:
    months, where = functions.months_of(credit), scheduler if engine == "dask" else ""
    source = write(months, tmp_path / "months", files, 1_000)
    assemble, prepare, score = (
        Step(functions.customers, unit="customer_id"),
        Step(features, release),
        Step(scoring, release),
    )
    run(assemble, source, tmp_path / "customers", where, at_once=at_once)
    run(prepare, tmp_path / "customers", tmp_path / "features", where, at_once=at_once)
    run(score, tmp_path / "customers", tmp_path / "scores", where, at_once=at_once)

    table = assemble(months)
    pd.testing.assert_frame_equal(
        by_unit(table, "customer_id")[[c for c in credit if c in table]],
        credit.drop(columns="default_next_month"),
    )
    for name, expected in (
        ("customers", table),
        ("features", prepare(table)),
        ("scores", scores_of(*release)(table)),
    ):
        pd.testing.assert_frame_equal(
            by_unit(pd.read_parquet(tmp_path / name), "customer_id"),
            by_unit(expected, "customer_id"),
            check_exact=True,
        )


def test_rows_that_are_alike_first_change_nothing_but_the_time(credit: pd.DataFrame) -> None:
    seen: list[pd.DataFrame] = []
    frame = credit.assign(note=["b", None, "a"] * 2_000)
    made = alike_first(lambda rows: seen.append(rows) or rows.assign(total=rows["BILL_AMT1"] * 2))(
        frame
    )  # type: ignore[func-returns-value]
    pd.testing.assert_frame_equal(made, frame.assign(total=frame["BILL_AMT1"] * 2))
    neighbours = lambda rows: (
        (rows[["SEX", "PAY_0", "PAY_2"]] == rows[["SEX", "PAY_0", "PAY_2"]].shift())
        .all(axis=1)
        .mean()
    )
    assert neighbours(seen[0]) > 2 * neighbours(frame)


@pytest.fixture
def values(tmp_path: Path) -> Path:
    return write(
        pd.DataFrame({"key": range(1_200), "value": np.arange(1_200) / 8}),
        tmp_path / "values",
        1,
        100,
    )


def doubled(folder: Path) -> None:
    frame = pd.read_parquet(folder)
    assert (
        list(frame["key"]) == list(range(1_200)) and (frame["value"] == np.arange(1_200) / 4).all()
    )


def once(true: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    """Wait in a thread until something is true, then do something."""

    def watch() -> None:
        end = time.monotonic() + 60
        while not true() and time.monotonic() < end:
            time.sleep(0.02)
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_dask_worker_killed_in_mid_run_changes_nothing(
    values: Path, scheduler: str, tmp_path: Path
) -> None:
    from distributed import Client

    with Client(scheduler) as client:
        before = client.run(os.getpid)
        thread = once(
            lambda: len(list(tmp_path.glob(".doubled.parts/part-*"))) > 1,
            lambda: os.kill(sorted(before.values())[0], signal.SIGKILL),
        )
        done = run(
            Step(functions.slow, (0.3,)), values, tmp_path / "doubled", scheduler, at_once=100
        )
        thread.join()
        client.wait_for_workers(2, timeout=60)
        assert set(client.run(os.getpid).values()) != set(before.values())
    assert done.parts == 12 and done.kept == 0
    doubled(tmp_path / "doubled")


def test_a_worker_process_that_dies_takes_no_part_with_it(values: Path, tmp_path: Path) -> None:
    mark = tmp_path / "died"
    done = run(
        Step(functions.dies_once, (str(mark),)), values, tmp_path / "out", processes=2, at_once=100
    )
    assert mark.exists() and done.parts == 12
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out"), read(values))


RUN = """
import sys
from pathlib import Path
from ml_workflow.pipeline.steps import Step, run
from tests.pipeline import functions
if __name__ == "__main__":
    run(Step(functions.slow, (0.3,)), Path(sys.argv[1]), Path(sys.argv[2]), processes=1, at_once=100)
"""


def test_a_killed_run_goes_on_with_the_missing_parts(values: Path, tmp_path: Path) -> None:
    import psutil

    target, work = tmp_path / "doubled", tmp_path / ".doubled.parts"
    (tmp_path / "go.py").write_text(RUN)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "go.py"), str(values), str(target)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    once(lambda: len(list(work.glob("part-*"))) > 2, lambda: None).join()
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, left = psutil.wait_procs(children, timeout=10)
    assert not left, "worker processes outlive a killed run"
    kept = {path: path.stat().st_mtime_ns for path in parquet_files(work)}
    assert 2 < len(kept) < 12 and not target.exists()
    done = run(Step(functions.slow, (0.3,)), values, target, processes=1, at_once=100)
    assert done.kept == len(kept)
    assert {path: (target / path.name).stat().st_mtime_ns for path in kept} == kept
    doubled(target)
    assert run(Step(functions.slow, (0.3,)), values, target, processes=1, at_once=100).kept == 12


def test_a_part_that_fails_leaves_the_others_and_is_told_in_a_sentence(
    values: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").touch()
    step = Step(functions.refuses_below, (str(tmp_path / "bad"),))
    with pytest.raises(
        Refusal, match="1 parts failed, of which one said ValueError: the first hundred"
    ):
        run(step, values, tmp_path / "out", processes=1, at_once=100)
    assert not (tmp_path / "out").exists()
    (tmp_path / "bad").unlink()
    assert run(step, values, tmp_path / "out", processes=1, at_once=100).kept == 11
    assert len(pd.read_parquet(tmp_path / "out")) == 1_200


def test_parts_of_another_step_or_source_are_never_mixed(values: Path, tmp_path: Path) -> None:
    run(Step(functions.slow, (0,)), values, tmp_path / "out", processes=1, at_once=500)
    with pytest.raises(Refusal, match="holds something else"):
        run(Step(functions.slow, (0.0001,)), values, tmp_path / "out", processes=1, at_once=500)
    pd.DataFrame({"key": [1], "value": [2.0]}).to_parquet(values / "1.parquet", index=False)
    with pytest.raises(Refusal, match="holds something else"):
        run(Step(functions.slow, (0,)), values, tmp_path / "out", processes=1, at_once=500)


def test_rows_of_a_unit_come_in_the_order_of_the_source(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "unit": rng.choice(["a", "b", "ccc", "é", None], 5_000),
            "value": rng.integers(0, 9, 5_000),
        }
    )
    step = Step(functions.running, unit="unit")
    run(step, write(frame, tmp_path / "rows", 3, 300), tmp_path / "out", processes=2, at_once=700)
    pd.testing.assert_frame_equal(
        by_unit(pd.read_parquet(tmp_path / "out"), "unit"), by_unit(step(frame), "unit")
    )


def test_a_function_sees_the_types_of_the_whole_table(tmp_path: Path) -> None:
    import duckdb

    source = tmp_path / "rows.parquet"
    query = """select range as key, case when range = 7 then null else range end as number, case when range = 8 then null else range > 3 end as truth,
        case when range < 900 then null else 'x' end as text, date '2026-01-01' + range::int as day, range::utinyint as small from range(200)"""
    duckdb.sql(query.replace("900", "150")).write_parquet(str(source), row_group_size=2048)
    step = Step(functions.types)
    run(step, source, tmp_path / "out", processes=1, at_once=20)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out"), step(read(source)))
    pd.testing.assert_frame_equal(read(source), pd.read_parquet(source))


def test_parts_whose_columns_differ_in_kind_are_one_table_in_the_end(
    values: Path, tmp_path: Path
) -> None:
    run(Step(functions.unlike), values, tmp_path / "out", processes=1, at_once=100)
    frame = pd.read_parquet(tmp_path / "out")
    assert (
        frame["number"].value_counts().to_dict() == {1.5: 600, 1.0: 600}
        and frame["note"].notna().sum() == 400
    )


@pytest.mark.parametrize(
    ("columns", "unit", "said"),
    [
        ({"a": [1]}, "b", "has no column 'b', the unit"),
        ({"a": []}, None, "has no rows"),
        (None, None, "is no Parquet file"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused_in_a_sentence(
    columns: dict[str, list[int]] | None, unit: str | None, said: str, tmp_path: Path
) -> None:
    if columns is not None:
        pd.DataFrame(columns).to_parquet(tmp_path / "source.parquet")
    with pytest.raises(Refusal, match=said):
        run(Step(functions.running, unit=unit), tmp_path / "source.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / ".out.parts").exists()


def test_a_scheduler_that_is_not_there_is_told_in_a_sentence(values: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="No Dask scheduler answers"):
        run(Step(functions.slow, (0,)), values, tmp_path / "out", "nonsense://x")


def test_a_query_gives_a_step_the_rows_that_pandas_gets(
    postgres: Callable[[], str], tmp_path: Path
) -> None:
    frame = pd.DataFrame(
        {
            "unit": np.arange(3_000) % 700,
            "value": np.arange(3_000.0),
            "note": [None] * 2_500 + ["late"] * 500,
            "seen": pd.Timestamp("2026-01-01"),
        }
    )
    frame.loc[2_900, "value"] = None
    engine = sa.create_engine(postgres().replace("postgresql://", "postgresql+psycopg://"))
    frame.astype({"value": "Int64"}).to_sql("rows", engine, index=False)
    text, step = (
        "SELECT * FROM rows ORDER BY seen, value, unit",
        Step(functions.running, unit="unit"),
    )
    with engine.connect() as connection:
        query(connection, text, tmp_path / "rows", at_once=400)
    with engine.connect() as connection:
        expected = pd.read_sql(sa.text(text), connection)
        assert query(connection, text, tmp_path / "rows", at_once=400) == tmp_path / "rows"
        with pytest.raises(sa.exc.SQLAlchemyError):
            query(
                connection,
                "SELECT 1 / (700 - unit - 1) FROM rows",
                tmp_path / "broken",
                at_once=400,
            )
    assert len(parquet_files(tmp_path / "rows")) == 8 and {p.name for p in tmp_path.iterdir()} == {
        "rows"
    }
    engine.dispose()
    run(step, tmp_path / "rows", tmp_path / "out", processes=2, at_once=500)
    pd.testing.assert_frame_equal(
        by_unit(pd.read_parquet(tmp_path / "out"), "unit"), by_unit(step(expected), "unit")
    )
