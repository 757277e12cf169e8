"""A search for models under a time budget; a kill of it loses only the trials under way."""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from ..data.processes import dask_client
from ..data.tables import content_hash
from ..decision.kinds import Array, Kind
from ..store.files import write_atomically
from ..store.run import reports
from . import families
from .families import FAMILIES, Family, OutOfTime, Parameters, Rows, Shape, is_late, spaces
from .fitting import Folds, assembled, judged_rows, scores_of
from .judging import Trial

SMALL = 2000
"""Rows to fit on below which one held-out part is too small to trust: three take turns."""
TRIALS = (25, 200)
"""The most of one search, a tenth of the rows between: more fit a small table only to its folds."""


class Fold(NamedTuple):
    """One fold as numbers: the rows to fit on, each turn with another part of them to stop at.

    Then the classes among these, and the rows to score with their positions.
    """

    turns: list[Rows]
    known: Array
    X_test: Array
    test: Array


class Candidate(NamedTuple):
    """A model that was judged: the mean loss of its out-of-fold probabilities, or numbers.

    `probabilities` has a row for every example, NaN where no fold scores it; the estimator, for all
    rows, is not fitted yet.
    """

    name: str
    family: str
    default: bool
    loss: float
    probabilities: Array
    seconds: float
    estimator: Any

    @property
    def scores(self) -> Array:
        """The out-of-fold scores, shape (n,) or (n, classes)."""
        return scores_of(self.probabilities)


@dataclass(frozen=True)
class Search:
    """What is searched: the folds, the positions that they judge, the encoded target, shape (n,).

    `place` is the folder that keeps the study.
    """

    kind: Kind
    folds: list[Fold]
    judged: Array
    target: Array
    seed: int
    place: Path

    @classmethod
    def of(
        cls,
        kind: Kind,
        frame: pd.DataFrame,
        table: pd.DataFrame,
        steps: Pipeline,
        folds: Folds,
        seed: int,
    ) -> "Search":
        """A search over `table`, which is what a model sees of `frame`.

        The folds' numbers are made once for all trials: the steps, from a table to numbers, are
        fitted on each fold's own rows to fit on.
        """
        target = kind.encode(kind.outcomes(frame))
        numbers = []
        for fit, test in folds:
            step, part = clone(steps), held_out(kind, frame.iloc[fit])
            X = np.asarray(step.fit_transform(table.iloc[fit]), dtype=np.float32)
            X_test = np.asarray(step.transform(table.iloc[test]), dtype=np.float32)
            known, index = np.unique(target[fit], return_inverse=True)
            y = kind.choose(index, target[fit])
            one_part = len(fit) >= SMALL or kind.task.split.by == "time"
            turns = [
                Rows(X[part != turn], y[part != turn], X[part == turn], y[part == turn])
                for turn in range(1 if one_part else 3)
            ]
            numbers.append(Fold(turns, known, X_test, test))
        facts = f"{content_hash(frame)} {content_hash(table)} {kind.task.split} {len(folds)} {seed}"
        name = hashlib.sha256(facts.encode() + Path(families.__file__).read_bytes()).hexdigest()
        place = reports().parent / "var" / "studies" / name[:24]
        return cls(kind, numbers, judged_rows(folds), target, seed, place)

    @property
    def shape(self) -> Shape:
        """What sound settings depend on."""
        X = self.folds[-1].turns[0].X
        return Shape(len(X), X.shape[1], self.kind)

    def candidate(self, name: str, family: str, trial: Trial, estimator: Any) -> Candidate:
        """A model that was judged elsewhere, on the same folds, as a candidate."""
        rows, probabilities = self.judged, self.kind.probabilities(trial.scores)
        loss = float(self.kind.losses(trial.scores[rows], self.target[rows]).mean())
        return Candidate(name, family, True, loss, probabilities, trial.seconds, estimator)

    def run(self, seconds: float, scheduler: str = "") -> list[Candidate]:
        """The judged models, the best first.

        Each family with sound defaults, then variants by Optuna's TPE (Akiba et al. 2019). The same
        search goes on after a kill, and seconds spent before count. `scheduler` is the address of a
        Dask cluster whose workers share the folder.
        """
        if seconds > 0:
            study = self.resume()
            spent = sum(t.user_attrs.get("seconds", 0.0) for t in study.get_trials(deepcopy=False))
            with _workers(scheduler, self) as (pool, count, shared):
                deadline = time.time() + seconds - spent / count
                for task in [pool.submit(Search.work, shared, i, deadline) for i in range(count)]:
                    task.result()
        return self.candidates()

    def work(self, worker: int, deadline: float) -> None:
        """Try models on one thread until the deadline (seconds since the epoch).

        Several workers, of any machines that share the folder, go on with one study.
        """
        from optuna.study import MaxTrialsCallback

        most = int(np.clip(len(self.target) // 10, *TRIALS))
        with threadpool_limits(1, "openmp"):
            self.study(worker).optimize(
                lambda trial: self.loss(trial, deadline),
                timeout=max(0.0, deadline - time.time()),
                callbacks=[MaxTrialsCallback(most, states=None)],
                catch=(Exception,),
            )

    def candidates(self) -> list[Candidate]:
        """The models whose trials have ended well, the best first."""
        from optuna.trial import TrialState

        if not (self.place / "journal.log").exists():
            return []
        found = []
        for trial in self.study().get_trials(states=[TrialState.COMPLETE]):
            family, facts = trial.params["family"], trial.user_attrs
            default = facts.get("default", False)
            scores = np.fromfile(self.place / f"{trial.number}.scores")
            build = FAMILIES[family].build
            candidate = Candidate(
                name=family if default else f"{family} {trial.number}",
                family=family,
                default=default,
                loss=trial.value,
                probabilities=scores.reshape(self.kind.choose((len(self.target), -1), (-1,))),
                seconds=facts["seconds"],
                estimator=build(facts["parameters"], self.shape, facts["trees"], self.seed),
            )
            found.append(candidate)
        return sorted(found, key=lambda candidate: candidate.loss)

    def study(self, worker: int = 0) -> Any:
        """Optuna's study in the folder, begun where there is none."""
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        journal = JournalFileBackend(str(self.place / "journal.log"))
        seed, first = self.seed + worker, len(FAMILIES)
        return optuna.create_study(
            storage=optuna.storages.JournalStorage(journal),
            study_name="search",
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=2 * first),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=first),
            load_if_exists=True,
        )

    def resume(self) -> Any:
        """The study, mended after a kill: a torn line and a lock go, the defaults stand first.

        Trials that were under way count as failed.
        """
        from optuna.trial import TrialState

        self.place.mkdir(parents=True, exist_ok=True)
        for lock in self.place.glob("journal.log.lock*"):
            lock.unlink()
        journal = self.place / "journal.log"
        if journal.exists():
            os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)
        study = self.study()
        for trial in study.get_trials(states=[TrialState.RUNNING]):
            study.tell(trial.number, state=TrialState.FAIL)
        tried = {
            trial.system_attrs["fixed_params"]["family"]
            for trial in study.trials
            if trial.user_attrs.get("default") and trial.state != TrialState.FAIL
        }
        for family, space in spaces(self.shape).items():
            if family not in tried:
                settings = {f"{family} {name}": span.default for name, span in space.items()}
                study.enqueue_trial({"family": family, **settings}, user_attrs={"default": True})
        return study

    def loss(self, trial: Any, deadline: float) -> float:
        """The mean loss of an Optuna trial, whose scores are kept.

        It is fitted and scored fold after fold, and given up where it is clearly behind.
        """
        from optuna import TrialPruned

        began = time.time()
        name = trial.suggest_categorical("family", list(FAMILIES))
        space = spaces(self.shape)[name].items()
        parameters = {key: span.suggest(trial, f"{name} {key}") for key, span in space}
        parts: Folds = []
        losses, grown = np.empty(0), []
        try:
            for number, fold in enumerate(self.folds):
                scores, trees = self.fold_scores(FAMILIES[name], parameters, fold, deadline)
                parts.append((fold.test, scores))
                grown.append(trees)
                losses = np.append(losses, self.kind.losses(scores, self.target[fold.test]))
                trial.report(float(losses.mean()), number)
                if not trial.user_attrs.get("default") and trial.should_prune():
                    raise TrialPruned
        except OutOfTime:
            raise TrialPruned from None
        finally:
            trial.set_user_attr("seconds", time.time() - began)
        trial.set_user_attr("trees", int(np.ceil(np.mean(grown))))
        trial.set_user_attr("parameters", parameters)
        whole = assembled(len(self.target), parts)
        write_atomically(self.place / f"{trial.number}.scores", whole.tofile)
        return float(losses.mean())

    def fold_scores(
        self, family: Family, parameters: Parameters, fold: Fold, deadline: float
    ) -> tuple[Array, int]:
        """Scores of a fold's rows, shape (n,) or (n, classes), by a model of all rows to fit on.

        And its trees, from the turns; 0 where nothing grows. Raises OutOfTime.
        """
        trees, rows = 0, fold.turns[0]
        if family.grow:
            grown, began = [], time.time()
            for turn in fold.turns:
                growing = family.build(parameters, self.shape, 0, self.seed)
                grown.append(family.grow(growing, turn, deadline))
                if is_late(deadline - (time.time() - began) / len(grown)):
                    raise OutOfTime  # to fit once more takes no less
            trees = int(np.ceil(np.mean(grown)))
        model = family.build(parameters, self.shape, trees, self.seed).set_params(**family.alone)
        model.fit(np.vstack([rows.X, rows.X_stop]), np.concatenate([rows.y, rows.y_stop]))
        if not hasattr(model, "predict_proba"):
            return np.asarray(model.predict(fold.X_test), dtype=float), trees
        scores = np.zeros((len(fold.test), len(self.kind.classes)))
        scores[:, fold.known] = model.predict_proba(fold.X_test)
        return scores, trees

    def forget(self) -> None:
        """Remove the study of a search that has ended well."""
        shutil.rmtree(self.place, ignore_errors=True)


def held_out(kind: Kind, frame: pd.DataFrame) -> Array:
    """Which sixth (0 to 5) each row belongs to, of some of each class or whole groups.

    One sixth is held out of a fit, to stop early at; in time order 0 are the last rows and 1 the
    others. A class of fewer than six rows is never held out whole.
    """
    rows, split = len(frame), kind.task.split
    if split.by == "time":
        return np.asarray(np.arange(rows) < rows - max(1, rows // 6), dtype=int)
    if split.by == "group":
        groups = pd.factorize(frame[split.column].astype(str))[0]
        if groups.max() >= 5:
            return groups % 6
    strata = kind.choose(kind.encode(kind.outcomes(frame)), np.zeros(rows))
    order = pd.Series(np.random.default_rng(0).permutation(rows))
    return (6 - order.groupby(strata).rank().to_numpy().astype(int)) % 6


@contextmanager
def _workers(scheduler: str, search: Search) -> Iterator[tuple[Executor, int, Any]]:
    """An executor, its workers (one a core, or a cluster's threads), and the search for them.

    Single trials on all cores would wait for each other at every tree.
    """
    if scheduler:
        with dask_client(scheduler) as client:
            pool = client.get_executor(pure=False)
            yield pool, sum(client.nthreads().values()), client.scatter(search, broadcast=True)
    else:
        count = os.cpu_count() or 1
        with ThreadPoolExecutor(count) as threads:
            yield threads, count, search
