"""A step gives the same rows in memory, out of core and on Dask; what dies loses none."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import psutil
import pytest
import sqlalchemy as sa

from ml_workflow.data.parts import parquet_files
from ml_workflow.data.steps import Done, Step, alike_first, query, run
from ml_workflow.errors import Refusal
from tests.conftest import ROOT, wait_until
from tests.data import functions


def by_unit(frame: pd.DataFrame) -> pd.DataFrame:
    """Sorted by the unit, its rows in the order they have."""
    return frame.sort_values("unit", kind="stable", ignore_index=True)


def write(frame: pd.DataFrame, folder: Path, files: int, group: int) -> Path:
    """A folder of Parquet files with small row groups."""
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(frame)), files)):
        frame.iloc[rows].to_parquet(folder / f"{number}.parquet", index=False, row_group_size=group)
    return folder


def test_rows_that_are_alike_first_change_nothing_but_the_time() -> None:
    groups, seen = np.random.default_rng(0).integers(0, 3, (2, 2_000)), list[pd.DataFrame]()
    frame = pd.DataFrame({"a": groups[0], "b": groups[1], "x": np.arange(2_000.0)})

    def double(rows: pd.DataFrame) -> pd.DataFrame:
        seen.append(rows[["a", "b"]])
        return rows.assign(x=rows["x"] * 2)

    pd.testing.assert_frame_equal(alike_first(double)(frame), frame.assign(x=frame["x"] * 2))
    assert (seen[0] != seen[0].shift()).any(axis=1).sum() == 9


@pytest.fixture
def values(tmp_path: Path) -> Path:
    frame = pd.DataFrame({"key": range(1_200), "value": np.arange(1_200) / 8})
    return write(frame, tmp_path / "values", 1, 100)


def alone(step: Step, source: Path, target: Path, at_once: int = 100) -> Done:
    """Run in one process."""
    return run(step, source, target, processes=1, at_once=at_once)


def doubled(folder: Path) -> bool:
    frame = pd.read_parquet(folder)
    expected = pd.DataFrame({"key": range(1_200), "value": np.arange(1_200) / 4})
    return frame.equals(expected)


def test_a_dask_worker_killed_in_mid_run_changes_nothing(
    values: Path, scheduler: str, tmp_path: Path
) -> None:
    from distributed import Client

    work, step = tmp_path / ".out.parts", Step(functions.slow, (0.3,))
    with Client(scheduler) as client:
        before = sorted(client.run(os.getpid).values())

        def kill_midway() -> None:
            wait_until(lambda: len(list(work.glob("part-*"))) > 1, 60)
            os.kill(before[0], signal.SIGKILL)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(kill_midway)
            done = run(step, values, tmp_path / "out", scheduler, at_once=100)
        client.wait_for_workers(2, timeout=60)
        assert sorted(client.run(os.getpid).values()) != before
    assert (done.parts, done.kept) == (12, 0) and doubled(tmp_path / "out")


def test_a_worker_process_that_dies_takes_no_part_with_it(values: Path, tmp_path: Path) -> None:
    mark, step = tmp_path / "died", Step(functions.dies_once, (str(tmp_path / "died"),))
    done = run(step, values, tmp_path / "out", processes=2, at_once=100)
    assert mark.exists() and done.parts == 12
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out"), pd.read_parquet(values))


RUN = """
import sys
from pathlib import Path
from ml_workflow.data.steps import Step, run
from tests.data import functions
if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    run(Step(functions.slow, (0.3,)), source, target, processes=1, at_once=100)
"""


def test_a_killed_run_goes_on_with_the_missing_parts(values: Path, tmp_path: Path) -> None:
    target, work, step = tmp_path / "out", tmp_path / ".out.parts", Step(functions.slow, (0.3,))
    (tmp_path / "go.py").write_text(RUN)
    words = [sys.executable, str(tmp_path / "go.py"), str(values), str(target)]
    process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    wait_until(lambda: len(list(work.glob("part-*"))) > 2, 60)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert not psutil.wait_procs(children, timeout=10)[1], "workers outlive a killed run"
    times = {path.name: path.stat().st_mtime_ns for path in parquet_files(work)}
    assert 2 < len(times) < 12 and not target.exists()
    assert alone(step, values, target).kept == len(times) and doubled(target)
    assert {name: (target / name).stat().st_mtime_ns for name in times} == times
    assert alone(step, values, target).kept == 12


def test_a_part_that_fails_leaves_the_others_and_is_told_in_a_sentence(
    values: Path, tmp_path: Path
) -> None:
    bad, step = tmp_path / "bad", Step(functions.refuses_below, (str(tmp_path / "bad"),))
    bad.touch()
    with pytest.raises(Refusal, match=r"1 parts failed, .* ValueError: the first hundred"):
        alone(step, values, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    bad.unlink()
    assert alone(step, values, tmp_path / "out").kept == 11
    assert len(pd.read_parquet(tmp_path / "out")) == 1_200


def test_parts_of_another_step_or_source_are_never_mixed(values: Path, tmp_path: Path) -> None:
    step = Step(functions.slow, (0,))
    alone(step, values, tmp_path / "out", 500)
    with pytest.raises(Refusal, match="holds something else"):
        alone(Step(functions.slow, (0.0001,)), values, tmp_path / "out", 500)
    pd.DataFrame({"key": [1], "value": [2.0]}).to_parquet(values / "1.parquet", index=False)
    with pytest.raises(Refusal, match="holds something else"):
        alone(step, values, tmp_path / "out", 500)


@pytest.mark.parametrize("where", ["processes", "cluster"])
def test_rows_of_a_unit_come_in_the_order_of_the_source(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue("scheduler") if where == "cluster" else ""
    rng, step = np.random.default_rng(0), Step(functions.running, unit="unit")
    units = rng.choice(["a", "b", "ccc", "é", None], 5_000)
    frame = pd.DataFrame({"unit": units, "value": rng.integers(0, 9, 5_000)})
    run(step, write(frame, tmp_path / "rows", 3, 300), tmp_path / "out", address, 2, at_once=700)
    pd.testing.assert_frame_equal(by_unit(pd.read_parquet(tmp_path / "out")), by_unit(step(frame)))


TYPES = """select range as key, case when range = 7 then null else range end as number,
    case when range = 8 then null else range > 3 end as boolean,
    case when range < 150 then null else 'x' end as text,
    date '2026-01-01' + range::int as day, range::utinyint as small from range(200)"""


def test_a_function_sees_the_types_of_the_whole_table(tmp_path: Path) -> None:
    source, step = tmp_path / "rows.parquet", Step(functions.types)
    duckdb.sql(TYPES).write_parquet(str(source), row_group_size=2048)
    alone(step, source, tmp_path / "out", 20)
    seen = step(pd.read_parquet(source))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out"), seen)


def test_parts_whose_columns_differ_in_kind_are_one_table_in_the_end(
    values: Path, tmp_path: Path
) -> None:
    alone(Step(functions.unlike), values, tmp_path / "out")
    frame = pd.read_parquet(tmp_path / "out")
    assert frame["number"].value_counts().to_dict() == {1.5: 600, 1.0: 600}
    assert frame["note"].notna().sum() == 400


@pytest.mark.parametrize(
    ("columns", "unit", "words"),
    [
        ({"a": [1]}, "b", "has no column 'b', the unit"),
        ({"a": []}, None, "has no rows"),
        (None, None, "is no Parquet file"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused_in_a_sentence(
    columns: dict[str, list[int]] | None, unit: str | None, words: str, tmp_path: Path
) -> None:
    if columns is not None:
        pd.DataFrame(columns).to_parquet(tmp_path / "source.parquet")
    with pytest.raises(Refusal, match=words):
        run(Step(functions.running, unit=unit), tmp_path / "source.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / ".out.parts").exists()


def test_a_scheduler_that_is_not_there_is_told_in_a_sentence(values: Path, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="No Dask scheduler answers"):
        run(Step(functions.slow, (0,)), values, tmp_path / "out", "nonsense://x")


def test_a_query_gives_a_step_the_rows_that_pandas_gets(
    postgres: Callable[[], str], tmp_path: Path
) -> None:
    frame = pd.DataFrame({"unit": np.arange(3_000) % 700, "value": np.arange(3_000)})
    frame = frame.assign(value=frame["value"].astype("Int64").where(frame["value"] != 2_900))
    engine = sa.create_engine(postgres().replace("postgresql://", "postgresql+psycopg://"))
    frame.assign(note=[None] * 2_500 + ["late"] * 500).to_sql("rows", engine, index=False)
    text, step = "SELECT * FROM rows ORDER BY value, unit", Step(functions.running, unit="unit")
    with engine.connect() as connection:
        query(connection, text, tmp_path / "rows", at_once=400)
    with engine.connect() as connection:
        expected = step(pd.read_sql(sa.text(text), connection))
        assert query(connection, text, tmp_path / "rows", at_once=400) == tmp_path / "rows"
        with pytest.raises(sa.exc.SQLAlchemyError):
            query(connection, "SELECT 1 / (699 - unit) FROM rows", tmp_path / "broken", 400)
    engine.dispose()
    assert len(parquet_files(tmp_path / "rows")) == 8
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
    run(step, tmp_path / "rows", tmp_path / "out", processes=2, at_once=500)
    result = pd.read_parquet(tmp_path / "out")
    pd.testing.assert_frame_equal(by_unit(result), by_unit(expected))
