"""The search keeps its time, loses nothing to a kill, and judges only on rows it has not seen."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from distributed import LocalCluster

from ml_workflow.decision.kinds import kind_of
from ml_workflow.model.search import held_out
from tests.conftest import ROOT, wait_until
from tests.decision.tasks import task_of
from tests.model.searches import search_of

ENDLESS = """
import sys
from pathlib import Path
from tests.model.searches import search_of
search_of("regression", 400, place=Path(sys.argv[1])).run(300)
"""


@pytest.mark.parametrize(
    ("rows", "columns", "kind"), [(150, 5, "multiclass"), (200, 1000, "binary")]
)
def test_small_and_wide_tables_end_in_time_with_models(
    rows: int, columns: int, kind: str, tmp_path: Path
) -> None:
    search, began = search_of(kind, rows, columns, place=tmp_path), time.time()
    found = search.run(10)
    # a wide tree or a slow import may end late, a whole trial may not
    assert found and time.time() - began < 10 + 8
    assert [one.loss for one in found] == sorted(one.loss for one in found)
    rows_judged, best = search.judged, found[0].probabilities
    losses = search.kind.losses(best[rows_judged], search.target[rows_judged])
    assert losses.mean() == pytest.approx(found[0].loss)
    search.forget()
    assert not search.place.exists() and search.candidates() == []


def test_no_time_tries_nothing(tmp_path: Path) -> None:
    search = search_of("binary", place=tmp_path)
    assert search.run(0) == [] and not search.place.exists()


def test_a_kill_loses_only_the_trials_under_way_and_seconds_count(tmp_path: Path) -> None:
    search = search_of("regression", 400, place=tmp_path)
    journal, lock = search.place / "journal.log", search.place / "journal.log.lock"
    child = subprocess.Popen([sys.executable, "-c", ENDLESS, str(tmp_path)], cwd=ROOT)
    wait_until(lambda: len(list(search.place.glob("[0-9]*.scores"))) > 2, 100)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    lock.unlink(missing_ok=True)
    lock.symlink_to(journal)
    trials = search.resume().trials
    before = {one.name: one.loss for one in search.candidates()}
    assert len(before) >= 2 and "RUNNING" not in {trial.state.name for trial in trials}
    spent = sum(t.user_attrs.get("seconds", 0.0) for t in trials) / (os.cpu_count() or 1)
    began = time.time()
    after = {one.name: one.loss for one in search.run(spent + 2)}
    assert before.items() <= after.items() and time.time() - began < 2 + 8
    assert {one.name: one.loss for one in search.run(spent)}.items() >= after.items()


def test_another_table_seed_or_split_is_another_search() -> None:
    searches = [
        search_of("binary"),
        search_of("binary", seed=1),
        search_of("binary", 161),
        search_of("binary", split={"by": "time", "column": "when"}),
    ]
    names = {search.place.name for search in [*searches, search_of("binary")]}
    assert len(names) == len(searches)


def test_rows_to_stop_at_are_never_those_to_score() -> None:
    for fold in search_of("multiclass", 90).folds:
        assert len(fold.turns) == 3
        for turn in fold.turns:
            parts = [{row.tobytes() for row in X} for X in (turn.X, turn.X_stop, fold.X_test)]
            assert len(set.union(*parts)) == sum(map(len, parts)) == 90 and len(parts[1]) >= 6


def test_a_part_to_stop_at_leaves_each_class_to_fit_or_takes_whole_groups_or_the_latest() -> None:
    rare = pd.DataFrame({"y": [0] * 50 + [1] * 3, "c": range(53)})
    part = held_out(kind_of(task_of("binary")), rare)
    assert all(set(rare["y"][part != turn]) == {0, 1} for turn in range(3))
    assert 8 <= (part == 0).sum() <= 9
    late = held_out(kind_of(task_of("binary", split={"by": "time", "column": "c"})), rare)
    assert (late[-8:] == 0).all() and (late[:-8] == 1).all()
    groups = pd.DataFrame({"y": 0.0, "c": np.repeat(np.arange(12), 5)})
    kind = kind_of(task_of("regression", split={"by": "group", "column": "c"}))
    stop = held_out(kind, groups) == 0
    assert 0 < stop.sum() < 30 and not set(groups["c"][stop]) & set(groups["c"][~stop])


def test_a_class_that_a_fold_does_not_know_gets_no_probability_and_no_crash(
    tmp_path: Path,
) -> None:
    target = np.where(np.arange(120) < 60, np.arange(120) % 2, np.arange(120) % 3)
    folds = [(np.arange(60), np.arange(60, 90)), (np.arange(90), np.arange(90, 120))]
    split = {"by": "time", "column": "when"}
    search = search_of("multiclass", 120, place=tmp_path, target=target, folds=folds, split=split)
    best = search.run(5)[0].probabilities
    assert np.isnan(best[:60]).all() and (best[60:90, 2] == 0).all()


def test_workers_of_a_dask_cluster_share_the_study(tmp_path: Path) -> None:
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(processes=True, **options) as cluster:
        found = search_of("regression", place=tmp_path).run(25, cluster.scheduler_address)
    assert len(found) >= 2 and len({one.name for one in found}) == len(found)
