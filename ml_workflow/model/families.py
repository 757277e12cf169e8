"""One table of search spaces, and how each family of models is built and grown."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from ..decision.kinds import Array, Kind
from .vectorizing import scaling

Parameters = dict[str, Any]
"""An estimator's settings by their names in its library."""
PATIENCE = 60
"""Trees without improvement on the held-out rows after which a booster stops."""
TREES = 3000
"""The most that a booster may grow."""
STEP = 50
"""Trees between two looks at the clock, where a library offers no callback."""


class OutOfTime(Exception):
    """The deadline passed while a model was being fitted."""


@dataclass(frozen=True)
class Shape:
    """What sound settings depend on: rows to fit on, columns, and the kind of target."""

    rows: int
    columns: int
    kind: Kind


@dataclass(frozen=True)
class Rows:
    """Rows to fit on and rows held out of them to stop at; y is encoded, shape (n,)."""

    X: Array
    y: Array
    X_stop: Array
    y_stop: Array


@dataclass(frozen=True)
class Range:
    """Where a setting may lie, on a log scale or not, and a sound value to begin with.

    It is a whole number where the bounds are.
    """

    default: float
    low: float
    high: float
    log: bool = False

    def suggest(self, trial: Any, name: str) -> float:
        """A value by an Optuna trial."""
        whole = isinstance(self.low, int)
        suggest = trial.suggest_int if whole else trial.suggest_float
        return suggest(name, self.low, self.high, log=self.log)


def spaces(shape: Shape) -> dict[str, dict[str, Range]]:
    """The settings that are tuned, by family and by their names in its library."""
    leaf = int(np.clip(shape.rows // 150, 3, 60))
    shares = {"colsample_bytree": Range(0.6, 0.2, 1.0), "subsample": Range(0.8, 0.5, 1.0)}
    return {
        "linear": {"regularization": Range(1.0, 1e-2, 1e4, log=True)},
        "LightGBM": {
            "learning_rate": Range(0.05, 0.02, 0.1, log=True),
            "num_leaves": Range(15, 4, 96, log=True),
            "min_child_samples": Range(leaf, 2, 150, log=True),
            "reg_lambda": Range(5.0, 0.01, 50, log=True),
            **shares,
        },
        "XGBoost": {
            "learning_rate": Range(0.05, 0.02, 0.1, log=True),
            "max_depth": Range(5, 2, 9),
            "min_child_weight": Range(leaf / 5, 0.3, 60, log=True),
            "reg_lambda": Range(5.0, 0.01, 50, log=True),
            **shares,
        },
        "histogram boosting": {
            "learning_rate": Range(0.05, 0.03, 0.15, log=True),
            "max_leaf_nodes": Range(15, 4, 64, log=True),
            "min_samples_leaf": Range(leaf, 2, 150, log=True),
            "l2_regularization": Range(5.0, 0.01, 50, log=True),
            "max_features": Range(0.6, 0.2, 1.0),
        },
        "CatBoost": {
            "learning_rate": Range(0.06, 0.02, 0.12, log=True),
            "depth": Range(6, 3, 8),
            "l2_leaf_reg": Range(3.0, 0.5, 30, log=True),
            # of many columns a tree sees few
            "rsm": Range(0.2, 0.1, 1.0) if shape.columns > 100 else Range(0.7, 0.3, 1.0),
        },
    }


@dataclass(frozen=True)
class Family:
    """A family of models: how an estimator is built, and how it is grown.

    `build` takes settings, shape, trees (0: as many as may be) and seed; `grow` gives the number
    of trees after which an estimator stops to improve, stops or raises OutOfTime at the deadline
    (seconds since the epoch), and is None where nothing grows. `alone` keeps it on one thread.
    """

    build: Callable[[Parameters, Shape, int, int], Any]
    grow: Callable[[Any, Rows, float], int] | None = None
    alone: Parameters = field(default_factory=dict)


def is_late(deadline: float) -> bool:
    """Whether the deadline (seconds since the epoch) has passed."""
    return time.time() > deadline


def threads(rows: int) -> int:
    """Threads that are worth waking to fit on this many rows; 0 means all.

    On fewer rows they gain nothing and wait for each other wherever the cores are shared.
    """
    return 1 if rows < 10_000 else 0


def linear(given: Parameters, shape: Shape, trees: int, seed: int) -> Any:
    """Logistic or ridge regression on filled and scaled numbers."""
    strength = given["regularization"]
    logistic = LogisticRegression(C=1 / strength, max_iter=300)
    ridge = Ridge(alpha=strength)
    return make_pipeline(*scaling(), shape.kind.choose(logistic, ridge))


def lightgbm(given: Parameters, shape: Shape, trees: int, seed: int) -> Any:
    """LightGBM."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    return shape.kind.choose(LGBMClassifier, LGBMRegressor)(
        n_estimators=trees or TREES,
        subsample_freq=1,
        random_state=seed,
        n_jobs=threads(shape.rows),
        verbose=-1,
        **given,
    )


def grow_lightgbm(model: Any, rows: Rows, deadline: float) -> int:
    """The trees of least held-out loss, grown until it has not improved for PATIENCE trees."""
    from lightgbm import early_stopping

    def look(_: Any) -> None:
        if is_late(deadline):
            raise OutOfTime

    model.set_params(n_jobs=1)
    model.fit(
        rows.X,
        rows.y,
        eval_X=(rows.X_stop,),
        eval_y=(rows.y_stop,),
        callbacks=[early_stopping(PATIENCE, verbose=False), look],
    )
    return int(model.best_iteration_ or model.n_estimators)


def xgboost(given: Parameters, shape: Shape, trees: int, seed: int) -> Any:
    """XGBoost."""
    from xgboost import XGBClassifier, XGBRegressor

    return shape.kind.choose(XGBClassifier, XGBRegressor)(
        n_estimators=trees or TREES, random_state=seed, n_jobs=threads(shape.rows), **given
    )


def grow_xgboost(model: Any, rows: Rows, deadline: float) -> int:
    """The trees of least held-out loss, grown until it has not improved for PATIENCE trees."""
    from xgboost.callback import TrainingCallback

    class Look(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if is_late(deadline):
                raise OutOfTime
            return False

    model.set_params(early_stopping_rounds=PATIENCE, callbacks=[Look()], n_jobs=1)
    model.fit(rows.X, rows.y, eval_set=[(rows.X_stop, rows.y_stop)], verbose=False)
    return int(model.best_iteration) + 1


def histogram(given: Parameters, shape: Shape, trees: int, seed: int) -> Any:
    """scikit-learn's histogram boosting."""
    model = shape.kind.choose(HistGradientBoostingClassifier, HistGradientBoostingRegressor)
    return model(max_iter=trees or TREES, early_stopping=False, random_state=seed, **given)


def grow_histogram(model: Any, rows: Rows, deadline: float) -> int:
    """The same, STEP trees at a time."""
    model.set_params(early_stopping=True, n_iter_no_change=PATIENCE, tol=0, warm_start=True)
    for trees in range(STEP, TREES + STEP, STEP):
        model.set_params(max_iter=trees).fit(rows.X, rows.y, X_val=rows.X_stop, y_val=rows.y_stop)
        if model.n_iter_ < trees or is_late(deadline):
            break
    return max(1, int(np.argmax(model.validation_score_)))


def catboost(given: Parameters, shape: Shape, trees: int, seed: int) -> Any:
    """CatBoost."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    return shape.kind.choose(CatBoostClassifier, CatBoostRegressor)(
        iterations=trees or TREES,
        border_count=128,
        verbose=0,
        allow_writing_files=False,
        random_seed=seed,
        thread_count=threads(shape.rows) or -1,
        **given,
    )


def grow_catboost(model: Any, rows: Rows, deadline: float) -> int:
    """The trees of least held-out loss, grown until it has not improved for PATIENCE trees."""

    class Look:
        def after_iteration(self, info: Any) -> bool:
            return not is_late(deadline)

    model.set_params(thread_count=1)
    model.fit(
        rows.X,
        rows.y,
        eval_set=(rows.X_stop, rows.y_stop),
        early_stopping_rounds=PATIENCE,
        use_best_model=True,
        callbacks=[Look()],
    )
    return int(model.tree_count_)


FAMILIES = {
    "linear": Family(linear),
    "LightGBM": Family(lightgbm, grow_lightgbm, {"n_jobs": 1}),
    "XGBoost": Family(xgboost, grow_xgboost, {"n_jobs": 1}),
    "histogram boosting": Family(histogram, grow_histogram),
    "CatBoost": Family(catboost, grow_catboost, {"thread_count": 1}),
}
"""By name, the quickest first."""
