"""A search for models under a time budget, kept on disk so that a kill loses only the trials under way."""

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from . import spaces
from .spaces import FAMILIES, Family, OutOfTime, Parameters, Rows, Shape

SMALL = 2000  # rows to fit on below which one held-out part is too small to trust: three take turns
TRIALS = (
    25,
    200,
)  # the most of one search, a tenth of the rows between: more fit a small table only to the luck of its folds
FAILURES = 10  # trials that a library refused, after which the search gives up
Array = NDArray[Any]


@dataclass(frozen=True)
class Fold:
    """One fold as numbers: the rows to fit on, each with its part to stop at, the classes among them, and the rows to score with their positions."""

    turns: list[Rows]
    known: Array
    X_test: NDArray[np.floating]
    test: Array


@dataclass(frozen=True)
class Data:
    """What is searched: the folds, the target (class numbers from 0, or numbers), the number of classes (0: regression)."""

    folds: list[Fold]
    target: Array
    classes: int

    @property
    def shape(self) -> Shape:
        """What sound settings depend on."""
        X = self.folds[-1].turns[0].X
        return Shape(len(X), X.shape[1], self.classes > 0)

    @property
    def scored(self) -> Array:
        """The positions that some fold scores, in order."""
        return np.sort(np.concatenate([fold.test for fold in self.folds]))


class Candidate(NamedTuple):
    """A model that was judged: out-of-fold scores (NaN where no fold scores), their mean loss, and the estimator for all rows, not yet fitted."""

    name: str
    family: str
    default: bool
    loss: float
    scores: Array
    seconds: float
    estimator: Any


def data_of(
    vectorizer: Any,
    table: pd.DataFrame,
    target: Array,
    splits: list[tuple[Array, Array]],
    classes: int,
    groups: Array | None = None,
    ordered: bool = False,
) -> Data:
    """The folds' numbers, made once for all trials: the vectorizer is fitted on each fold's own rows to fit on."""
    folds = []
    for fit, test in splits:
        step = clone(vectorizer)
        X, X_test = (
            np.asarray(part, dtype=np.float32)
            for part in (step.fit_transform(table.iloc[fit]), step.transform(table.iloc[test]))
        )
        known, y = (
            np.unique(target[fit], return_inverse=True)
            if classes
            else (np.arange(0), np.asarray(target[fit], dtype=float))
        )
        part = held_out(
            target[fit], bool(classes), None if groups is None else groups[fit], ordered
        )
        turns = range(3 if len(fit) < SMALL and not ordered else 1)
        folds.append(
            Fold(
                [
                    Rows(X[part != turn], y[part != turn], X[part == turn], y[part == turn])
                    for turn in turns
                ],
                known,
                X_test,
                test,
            )
        )
    return Data(folds, target, classes)


def held_out(
    target: Array, classes: bool, groups: Array | None = None, ordered: bool = False
) -> Array:
    """Which sixth (0 to 5) each row belongs to, of some of each class or whole groups; in time order 0 are the last and 1 the others.

    One sixth is held out of a fit, to stop early at. A class of fewer than six rows is never held out whole.
    """
    if ordered:
        return np.asarray(np.arange(len(target)) < len(target) - max(1, len(target) // 6)).astype(
            int
        )
    if groups is not None and len(np.unique(groups)) >= 6:
        return np.asarray(pd.factorize(groups)[0] % 6)
    order = pd.Series(np.random.default_rng(0).permutation(len(target)))
    return (
        6
        - order.groupby(target if classes else np.zeros(len(target))).rank().to_numpy().astype(int)
    ) % 6


def as_chances(scores: Array, classes: int) -> Array:
    """Scores with a column for each class, where there are classes; numbers stay as they are."""
    return np.column_stack([1 - scores, scores]) if classes and scores.ndim == 1 else scores


def as_scores(chances: Array) -> Array:
    """The other way round: of two classes the chance of the second."""
    return chances[:, 1] if chances.ndim == 2 and chances.shape[1] == 2 else chances


def losses(scores: Array, target: Array) -> Array:
    """Loss per row: minus the log of the probability given to the class (scores of shape (n, classes)), or the squared error."""
    if scores.ndim == 1:
        return (scores - target) ** 2
    return -np.log(np.clip(scores[np.arange(len(target)), target.astype(int)], 1e-6, 1))


def fold_scores(
    family: Family, given: Parameters, data: Data, fold: Fold, seed: int, deadline: float
) -> tuple[Array, int | None]:
    """Scores of a fold's rows, shape (n,) or (n, classes), by a model of all its rows to fit on; and its trees, from the turns. Raises OutOfTime."""
    trees, rows = None, fold.turns[0]
    if family.stops_early:
        began = time.time()
        trees = int(
            np.ceil(
                np.mean(
                    [
                        family.trees(family.build(given, data.shape, None, seed), turn, deadline)
                        for turn in fold.turns
                    ]
                )
            )
        )
        if (
            time.time() + (time.time() - began) / len(fold.turns) > deadline
        ):  # to fit once more takes no longer
            raise OutOfTime
    model = family.build(given, data.shape, trees, seed).set_params(**family.alone)
    model.fit(np.vstack([rows.X, rows.X_stop]), np.concatenate([rows.y, rows.y_stop]))
    if not data.classes:
        return np.asarray(model.predict(fold.X_test), dtype=float), trees
    scores = np.zeros((len(fold.test), data.classes))
    scores[:, fold.known] = model.predict_proba(fold.X_test)
    return scores, trees


class Named:
    """A trial whose names are told apart by family."""

    def __init__(self, trial: Any, family: str) -> None:
        self.trial, self.family = trial, family

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number."""
        return float(self.trial.suggest_float(f"{self.family} {name}", low, high, log=log))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number."""
        return int(self.trial.suggest_int(f"{self.family} {name}", low, high, log=log))


def objective(data: Data, place: Path, seed: int, deadline: float) -> Callable[[Any], float]:
    """What a trial does: fit and score fold after fold, give up where it is clearly behind, keep the scores."""
    import optuna

    def judged(trial: Any) -> float:
        began = time.time()
        family = FAMILIES[trial.suggest_categorical("family", list(FAMILIES))]
        given = family.suggest(Named(trial, family.name), data.shape)
        parts, grown = [], []
        try:
            for number, fold in enumerate(data.folds):
                scores, trees = fold_scores(family, given, data, fold, seed, deadline)
                parts.append((fold.test, scores, losses(scores, data.target[fold.test])))
                grown.append(trees)
                trial.report(float(np.mean(np.concatenate([loss for _, _, loss in parts]))), number)
                if not trial.user_attrs.get("default") and trial.should_prune():
                    raise optuna.TrialPruned
        except OutOfTime:
            raise optuna.TrialPruned from None
        finally:
            trial.set_user_attr("seconds", time.time() - began)
        trial.set_user_attr("trees", int(np.ceil(np.mean([trees or 0 for trees in grown]))) or None)
        trial.set_user_attr("parameters", given)
        write_scores(place / f"{trial.number}.npy", out_of_fold(parts, len(data.target)))
        return float(np.mean(np.concatenate([loss for _, _, loss in parts])))

    return judged


def out_of_fold(parts: list[tuple[Array, Array, Array]], rows: int) -> Array:
    """The folds' scores in one array, NaN where no fold scores."""
    whole = np.full((rows, *parts[0][1].shape[1:]), np.nan)
    for test, scores, _ in parts:
        whole[test] = scores
    return whole


def write_scores(path: Path, scores: Array) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with temporary.open("wb") as file:
        np.save(file, scores, allow_pickle=False)
    temporary.replace(path)


def open_study(place: Path, seed: int) -> Any:
    """The study kept in this folder, begun where there is none."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(place / "journal.log")))
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=2 * len(FAMILIES))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=len(FAMILIES))
    return optuna.create_study(
        storage=storage, study_name="search", sampler=sampler, pruner=pruner, load_if_exists=True
    )


def resume(place: Path, data: Data, seed: int) -> Any:
    """The study of this folder, mended after a kill: a torn line and a lock go, trials under way count as failed, the defaults stand first."""
    import optuna

    place.mkdir(parents=True, exist_ok=True)
    for lock in place.glob("journal.log.lock*"):
        lock.unlink()
    journal = place / "journal.log"
    if journal.exists() and not (text := journal.read_bytes()).endswith(b"\n"):
        os.truncate(journal, text.rfind(b"\n") + 1)
    study = open_study(place, seed)
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    tried = {
        t.system_attrs["fixed_params"]["family"]
        for t in study.trials
        if t.user_attrs.get("default") and t.state != optuna.trial.TrialState.FAIL
    }
    for name, family in FAMILIES.items():
        if name not in tried:
            fixed = {
                "family": name,
                **{f"{name} {key}": value for key, value in family.defaults(data.shape).items()},
            }
            study.enqueue_trial(fixed, user_attrs={"default": True})
    return study


def work(place: Path, data: Data, seed: int, worker: int, deadline: float) -> None:
    """Try models on one thread until the deadline; several workers, of any machines that share the folder, go on with one study."""
    import optuna

    most = np.clip(len(data.target) // 10, *TRIALS)

    def enough(study: Any, _: Any) -> None:
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        failed = states.count(optuna.trial.TrialState.FAIL)
        if failed >= FAILURES or len(states) >= most or spaces.is_late(deadline):
            study.stop()

    with threadpool_limits(1, "openmp"):
        study = open_study(place, seed + worker)
        study.optimize(
            objective(data, place, seed, deadline),
            timeout=max(0.0, deadline - time.time()),
            callbacks=[enough],
            catch=(Exception,),
        )


def search(
    data: Data, place: Path, seconds: float, seed: int, scheduler: str = ""
) -> list[Candidate]:
    """The judged models, the best first: each family with sound defaults, then variants by Optuna's TPE (Akiba et al. 2019).

    `place` keeps the study: the same search goes on in it after a kill, and seconds spent before count. `scheduler` is
    the address of a Dask cluster whose workers share that folder.
    """
    if seconds > 0:
        study = resume(place, data, seed)
        workers, run = on_cluster(scheduler) if scheduler else on_threads()
        spent = (
            sum(trial.user_attrs.get("seconds", 0.0) for trial in study.get_trials(deepcopy=False))
            / workers
        )
        run(
            lambda worker, data, deadline: work(place, data, seed, worker, deadline),
            data,
            seconds - spent,
        )
    return candidates(place, data, seed)


def on_threads() -> tuple[int, Callable[..., None]]:
    """One worker a core: single trials on all cores wait for each other at every tree."""
    workers = os.cpu_count() or 1

    def run(task: Callable[[int, Data, float], None], data: Data, seconds: float) -> None:
        deadline = time.time() + seconds
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda worker: task(worker, data, deadline), range(workers)))

    return workers, run


def on_cluster(scheduler: str) -> tuple[int, Callable[..., None]]:
    """One worker for each thread of the Dask cluster at this address."""
    from distributed import Client

    client = Client(scheduler)
    workers = sum(client.nthreads().values())

    def run(task: Callable[[int, Data, float], None], data: Data, seconds: float) -> None:
        deadline = time.time() + seconds
        with client:
            sent = client.scatter(data, broadcast=True)
            client.gather(
                [
                    client.submit(task, worker, sent, deadline, pure=False)
                    for worker in range(workers)
                ]
            )

    return workers, run


def candidates(place: Path, data: Data, seed: int) -> list[Candidate]:
    """The models whose trials have ended well, the best first."""
    import optuna

    if not (place / "journal.log").exists():
        return []
    found = []
    for trial in open_study(place, seed).get_trials(states=[optuna.trial.TrialState.COMPLETE]):
        family, known = FAMILIES[trial.params["family"]], trial.user_attrs
        estimator = family.build(known["parameters"], data.shape, known["trees"], seed)
        name = family.name if known.get("default") else f"{family.name} {trial.number}"
        scores = np.load(place / f"{trial.number}.npy", allow_pickle=False)
        found.append(
            Candidate(
                name,
                family.name,
                bool(known.get("default")),
                trial.value,
                scores,
                known["seconds"],
                estimator,
            )
        )
    return sorted(found, key=lambda candidate: candidate.loss)


def name_of(data: Data, seed: int) -> str:
    """A name for what is searched, the same for the same numbers, folds, spaces and seed."""
    found = hashlib.sha256(f"{seed} {data.classes}".encode())
    found.update(Path(spaces.__file__).read_bytes())
    for fold in data.folds:
        rows = fold.turns[0]
        for part in (rows.X, rows.y, rows.X_stop, rows.y_stop, fold.X_test, fold.test):
            found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()[:24]


def forget(place: Path) -> None:
    """Remove a study that has ended well."""
    shutil.rmtree(place, ignore_errors=True)
