"""The search fits every family on every kind, keeps its time, and loses nothing to a kill; the blend is no worse than its best member."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification, make_regression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_limits

from ml_workflow.model import search as study
from ml_workflow.model.blend import blended, mean_scores, members_of, weights_of
from ml_workflow.model.fitting import scored
from ml_workflow.model.search import (
    Candidate,
    Data,
    as_scores,
    candidates,
    data_of,
    held_out,
    losses,
    name_of,
    search,
)
from ml_workflow.model.spaces import FAMILIES, OutOfTime, Suggests
from ml_workflow.serve.compiled import _predictor
from tests.conftest import ROOT

NEVER = 1e12


@pytest.fixture(autouse=True)
def on_one_thread() -> Iterator[None]:
    """As the search's workers do."""
    with threadpool_limits(1, "openmp"):
        yield


def made(
    kind: str, rows: int = 160, columns: int = 8, seed: int = 0
) -> tuple[pd.DataFrame, np.ndarray, int]:
    classes = {"binary": 2, "multiclass": 3, "regression": 0}[kind]
    if classes:
        X, y = make_classification(
            rows,
            columns,
            n_informative=4,
            n_redundant=0,
            n_classes=classes,
            flip_y=0.1,
            random_state=seed,
        )
    else:
        X, y = make_regression(rows, columns, n_informative=4, noise=5, random_state=seed)
    table = pd.DataFrame(X).add_prefix("x")
    table.iloc[::17, 0] = np.nan
    return table, y, classes


def data(kind: str, rows: int = 160, columns: int = 8) -> Data:
    table, y, classes = made(kind, rows, columns)
    return data_of(
        FunctionTransformer(),
        table,
        y,
        list(KFold(3, shuffle=True, random_state=0).split(table)),
        classes,
    )


class Middle(Suggests):
    """A trial that suggests the middle of each range."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return (low * high) ** 0.5 if log else (low + high) / 2

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return (low + high) // 2


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_a_family_learns(family: study.Family, kind: str) -> None:
    known = data(kind, 400)
    fold, shape = known.folds[0], known.shape
    truth = known.target[fold.test]
    constant = (
        np.full(len(truth), known.target.mean())
        if not known.classes
        else np.full((len(truth), known.classes), 1 / known.classes)
    )
    for given in (family.defaults(shape), family.suggest(Middle(), shape)):
        scores, trees = study.fold_scores(family, given, known, fold, 0, NEVER)
        assert losses(scores, truth).mean() < losses(constant, truth).mean()
        assert (trees is not None) == family.stops_early and (trees is None or 0 < trees < 3000)
        assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    "family", [f for f in FAMILIES.values() if f.stops_early], ids=lambda f: f.name
)
def test_a_booster_stops_at_the_deadline(family: study.Family) -> None:
    known = data("binary")
    with pytest.raises(OutOfTime):
        study.fold_scores(
            family, family.defaults(known.shape), known, known.folds[0], 0, time.time() - 1
        )


@pytest.mark.parametrize(
    ("rows", "columns", "kind"), [(150, 5, "multiclass"), (200, 1000, "binary")]
)
def test_small_and_wide_tables_end_in_time_with_models(
    rows: int, columns: int, kind: str, tmp_path: Path
) -> None:
    known = data(kind, rows, columns)
    began = time.time()
    found = search(known, tmp_path / "s", 10, 0)
    assert (
        found and time.time() - began < 10 + 8
    )  # a wide tree or a slow import may end late, a whole trial may not
    assert [c.loss for c in found] == sorted(c.loss for c in found)
    assert losses(
        found[0].scores[known.scored], known.target[known.scored]
    ).mean() == pytest.approx(found[0].loss)


def test_no_time_tries_nothing(tmp_path: Path) -> None:
    assert search(data("binary"), tmp_path / "s", 0, 0) == [] and not (tmp_path / "s").exists()


def test_a_kill_loses_only_the_trials_under_way_and_seconds_count(tmp_path: Path) -> None:
    code = (
        "from tests.model.test_search import data, search; from pathlib import Path; import sys; "
        "search(data('regression', 400), Path(sys.argv[1]), 300, 0)"
    )
    place = tmp_path / "s"
    child = subprocess.Popen([sys.executable, "-c", code, str(place)], cwd=ROOT, env=os.environ)
    until = time.time() + 100
    while time.time() < until and len(list(place.glob("[0-9]*.npy"))) < 3:
        time.sleep(0.2)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with (place / "journal.log").open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    (place / "journal.log.lock").unlink(missing_ok=True)
    (place / "journal.log.lock").symlink_to(place / "journal.log")
    known = data("regression", 400)
    resumed = study.resume(place, known, 0)
    before = {c.name: c.loss for c in candidates(place, known, 0)}
    assert len(before) >= 2
    assert not [t for t in resumed.trials if t.state.name == "RUNNING"]
    spent = sum(t.user_attrs.get("seconds", 0.0) for t in resumed.trials) / (os.cpu_count() or 1)
    began = time.time()
    after = {c.name: c.loss for c in search(known, place, spent + 2, 0)}
    assert before.items() <= after.items() and time.time() - began < 2 + 8
    assert {c.name: c.loss for c in search(known, place, spent, 0)}.items() >= after.items()


def test_another_table_or_seed_is_another_search() -> None:
    names = [
        name_of(data("binary"), 0),
        name_of(data("binary"), 1),
        name_of(data("binary", 161), 0),
    ]
    assert len(set(names)) == 3 and names[0] == name_of(data("binary"), 0)


def test_rows_to_stop_at_are_never_those_to_score_and_leave_each_class_to_fit() -> None:
    table, y, _ = made("multiclass", 90)
    table["row"] = np.arange(90.0)
    for fold in data_of(FunctionTransformer(), table, y, list(KFold(3).split(table)), 3).folds:
        assert len(fold.turns) == 3
        for turn in fold.turns:
            fit, stop, test = (set(part[:, -1]) for part in (turn.X, turn.X_stop, fold.X_test))
            assert (
                len(fit) + len(stop) + len(test) == 90
                and not (fit & stop or fit & test or stop & test)
                and len(stop) >= 6
            )
    rare = np.array([0] * 50 + [1] * 3)
    part = held_out(rare, True)
    assert (
        all(set(rare[part != turn]) == {0, 1} for turn in range(3)) and 8 <= (part == 0).sum() <= 9
    )
    assert (held_out(rare, True, ordered=True)[-8:] == 0).all() and (
        held_out(rare, True, ordered=True)[:-8] == 1
    ).all()
    groups = np.repeat(np.arange(12), 5)
    stop = held_out(np.zeros(60), False, groups) == 0
    assert 0 < stop.sum() < 30 and not set(groups[stop]) & set(groups[~stop])


def test_a_class_that_a_fold_does_not_know_gets_no_chance_and_no_crash(tmp_path: Path) -> None:
    table, y, _ = made("multiclass", 120)
    y = np.where(np.arange(120) < 60, y % 2, y)
    known = data_of(
        FunctionTransformer(),
        table,
        y,
        [(np.arange(60), np.arange(60, 90)), (np.arange(90), np.arange(90, 120))],
        3,
        ordered=True,
    )
    found = search(known, tmp_path / "s", 5, 0)
    assert found and np.isnan(found[0].scores[:60]).all() and (found[0].scores[60:90, 2] == 0).all()


def candidate(name: str, scores: np.ndarray, known: Data, family: str = "linear") -> Candidate:
    estimator = FAMILIES[family].build(
        FAMILIES[family].defaults(known.shape), known.shape, 20 if family != "linear" else None, 0
    )
    return Candidate(
        name, family, True, float(losses(scores, known.target).mean()), scores, 1.0, estimator
    )


def test_a_blend_is_no_worse_than_its_best_member_and_better_where_errors_differ() -> None:
    known = data("regression")
    rng = np.random.default_rng(0)
    members = members_of(
        [
            candidate(
                f"m{i}", known.target + rng.normal(0, 5 + i, len(known.target)), known, family
            )
            for i, family in enumerate(FAMILIES)
        ]
    )
    mean = losses(mean_scores(members, weights_of(members, known)), known.target).mean()
    assert mean < 0.7 * members[0].loss
    same = [candidate("a", known.target + 1.0, known), candidate("b", known.target + 2.0, known)]
    assert weights_of(same, known) == {"a": 1}


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_blended_pipeline_scores_as_the_weighted_mean_of_its_members(kind: str) -> None:
    table, y, classes = made(kind)
    known = data(kind)
    members = [
        candidate(f, np.zeros((len(y), classes)) if classes else np.zeros(len(y)), known, f)
        for f in ("linear", "LightGBM", "CatBoost")
    ]
    fitted = blended(
        make_pipeline(FunctionTransformer()),
        members,
        {"linear": 1, "LightGBM": 2, "CatBoost": 1},
        bool(classes),
    ).fit(table, y)
    ask = "predict_proba" if classes else "predict"
    single = [getattr(m.estimator.fit(table, y), ask)(table) for m in members]
    np.testing.assert_allclose(
        getattr(fitted, ask)(table), (single[0] + 2 * single[1] + single[2]) / 4, rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize(
    "families", [*([name] for name in FAMILIES), list(FAMILIES)], ids=[*FAMILIES, "blend"]
)
def test_a_row_alone_and_among_others_has_the_same_score_to_the_last_bit_on_both_paths(
    families: list[str], kind: str
) -> None:
    table, y, classes = made(kind, columns=9)
    table = table.astype(np.float32)
    known = data(kind)
    members = [
        candidate(f, np.zeros((len(y), classes)) if classes else np.zeros(len(y)), known, f)
        for f in families
    ]
    model = blended(
        make_pipeline(FunctionTransformer(np.asarray)),
        members,
        dict.fromkeys(families, 2),
        bool(classes),
        seeds=3,
    ).fit(table, y)
    together = scored(model, table)
    quick = _predictor(model[-1])
    asked = [
        as_scores(quick(rows)) if classes else quick(rows)
        for rows in (table.to_numpy(), table.to_numpy()[:1], table.to_numpy()[:70])
    ]
    assert [
        scored(model, table.iloc[[i]])[0].tolist() for i in range(len(table))
    ] == together.tolist()
    assert [found.tolist() for found in asked] == [
        together.tolist()[: len(found)] for found in asked
    ]


def test_seeds_keep_the_weights_of_families_without_a_seed() -> None:
    known = data("regression")
    members = [candidate(f, known.target, known, f) for f in ("linear", "LightGBM")]
    voting = blended(
        make_pipeline(FunctionTransformer()), members, {"linear": 1, "LightGBM": 1}, False, seeds=3
    )[-1]
    assert voting.weights == [3, 1, 1, 1] and [
        m.random_state for n, m in voting.estimators if n.startswith("Light")
    ] == [0, 1, 2]


def test_two_columns_of_chances_and_one_score_are_the_same() -> None:
    scores = np.array([0.2, 0.9])
    np.testing.assert_allclose(as_scores(study.as_chances(scores, 2)), scores)
    assert as_scores(study.as_chances(scores, 0)) is scores


def test_workers_of_a_dask_cluster_share_the_study(tmp_path: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        found = search(data("regression"), tmp_path / "s", 20, 0, cluster.scheduler_address)
    assert len(found) >= 2 and len({c.name for c in found}) == len(found)
