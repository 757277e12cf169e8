"""One small table of search spaces: how each family of models is built, varied, and grown until it stops improving."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Parameters = dict[str, Any]
PATIENCE = 60  # trees without improvement on the held-out rows after which a booster stops
TREES = 3000  # the most that a booster may grow
STEP = 50  # trees between two looks at the clock, where a library offers no callback


class OutOfTime(Exception):
    """The deadline passed while a model was being fitted."""


@dataclass(frozen=True)
class Shape:
    """What sound settings depend on: rows to fit on, columns, and whether classes are told apart."""

    rows: int
    columns: int
    classes: bool


@dataclass(frozen=True)
class Rows:
    """Rows to fit on and rows held out of them to stop at; y holds class numbers from 0, or numbers."""

    X: NDArray[np.floating]
    y: NDArray[Any]
    X_stop: NDArray[np.floating]
    y_stop: NDArray[Any]


class Suggests(Protocol):
    """What an Optuna trial offers."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number between the bounds."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number between the bounds."""


@dataclass(frozen=True)
class Family:
    """A family: sound defaults, a suggestion, an unfitted estimator, the trees after which it stops to improve, and what keeps it on one thread."""

    name: str
    defaults: Callable[[Shape], Parameters]
    suggest: Callable[[Suggests, Shape], Parameters]
    build: Callable[[Parameters, Shape, int | None, int], Any]
    trees: Callable[[Any, Rows, float], int]
    alone: Parameters
    stops_early: bool = True


def leaf(shape: Shape) -> int:
    """Rows in a leaf that suit a table of this size."""
    return int(np.clip(shape.rows // 150, 3, 60))


def is_late(deadline: float) -> bool:
    """Whether the deadline (seconds since the epoch) has passed."""
    return time.time() > deadline


def threads(rows: int) -> int:
    """Threads that are worth waking to fit on this many rows; 0 means all. Below, they gain nothing and wait for each other wherever the cores are shared."""
    return 1 if rows < 10_000 else 0


def lightgbm(given: Parameters, shape: Shape, trees: int | None, seed: int) -> Any:
    """LightGBM."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMClassifier if shape.classes else LGBMRegressor
    return kind(
        n_estimators=trees or TREES,
        subsample_freq=1,
        random_state=seed,
        n_jobs=threads(shape.rows),
        verbose=-1,
        **given,
    )


def grow_lightgbm(model: Any, rows: Rows, deadline: float) -> int:
    """The trees of least held-out loss, grown until it has not improved for PATIENCE trees. Raises OutOfTime."""
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


def histogram(given: Parameters, shape: Shape, trees: int | None, seed: int) -> Any:
    """scikit-learn's histogram boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if shape.classes else HistGradientBoostingRegressor
    return kind(max_iter=trees or TREES, early_stopping=False, random_state=seed, **given)


def grow_histogram(model: Any, rows: Rows, deadline: float) -> int:
    """The same, STEP trees at a time."""
    most = model.max_iter
    model.set_params(early_stopping=True, n_iter_no_change=PATIENCE, tol=0, warm_start=True)
    for trees in range(STEP, most + STEP, STEP):
        if is_late(deadline):
            raise OutOfTime
        model.set_params(max_iter=trees).fit(rows.X, rows.y, X_val=rows.X_stop, y_val=rows.y_stop)
        if model.n_iter_ < trees:
            break
    return max(1, int(np.argmax(model.validation_score_)))


def xgboost(given: Parameters, shape: Shape, trees: int | None, seed: int) -> Any:
    """XGBoost."""
    from xgboost import XGBClassifier, XGBRegressor

    return (XGBClassifier if shape.classes else XGBRegressor)(
        n_estimators=trees or TREES, random_state=seed, n_jobs=threads(shape.rows), **given
    )


def grow_xgboost(model: Any, rows: Rows, deadline: float) -> int:
    """The trees of least held-out loss, grown until it has not improved for PATIENCE trees. Raises OutOfTime."""
    from xgboost.callback import TrainingCallback

    class Look(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if is_late(deadline):
                raise OutOfTime
            return False

    model.set_params(early_stopping_rounds=PATIENCE, callbacks=[Look()], n_jobs=1)
    model.fit(rows.X, rows.y, eval_set=[(rows.X_stop, rows.y_stop)], verbose=False)
    return int(model.best_iteration) + 1


def catboost(given: Parameters, shape: Shape, trees: int | None, seed: int) -> Any:
    """CatBoost."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    kind = CatBoostClassifier if shape.classes else CatBoostRegressor
    return kind(
        iterations=trees or TREES,
        verbose=0,
        allow_writing_files=False,
        random_seed=seed,
        thread_count=threads(shape.rows) or -1,
        **given,
    )


def grow_catboost(model: Any, rows: Rows, deadline: float) -> int:
    """The trees of least held-out loss, grown until it has not improved for PATIENCE trees. Raises OutOfTime."""

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
    if is_late(deadline):
        raise OutOfTime
    return int(model.tree_count_)


def linear(given: Parameters, shape: Shape, trees: int | None, seed: int) -> Any:
    """Logistic or ridge regression on filled and scaled numbers; as a sparse matrix a row's sum does not depend on the rows beside it, which BLAS does not promise."""
    from scipy.sparse import csr_matrix
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    strength = given["regularization"]
    model = (
        LogisticRegression(C=1 / strength, max_iter=300) if shape.classes else Ridge(alpha=strength)
    )
    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        FunctionTransformer(csr_matrix),
        model,
    )


def never(model: Any, rows: Rows, deadline: float) -> int:
    """What grows no trees needs none."""
    return 0


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "linear",
            lambda shape: {"regularization": 1.0},
            lambda trial, shape: {
                "regularization": trial.suggest_float("regularization", 1e-2, 1e4, log=True)
            },
            linear,
            never,
            {},
            stops_early=False,
        ),
        Family(
            "LightGBM",
            lambda shape: {
                "learning_rate": 0.05,
                "num_leaves": 15,
                "min_child_samples": leaf(shape),
                "reg_lambda": 5.0,
                "colsample_bytree": 0.6,
                "subsample": 0.8,
            },
            lambda trial, shape: {
                "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
                "num_leaves": trial.suggest_int("num_leaves", 4, 96, log=True),
                "min_child_samples": trial.suggest_int("min_child_samples", 2, 150, log=True),
                "reg_lambda": trial.suggest_float("reg_lambda", 0.01, 50, log=True),
                "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
                "subsample": trial.suggest_float("subsample", 0.5, 1.0),
            },
            lightgbm,
            grow_lightgbm,
            {"n_jobs": 1},
        ),
        Family(
            "XGBoost",
            lambda shape: {
                "learning_rate": 0.05,
                "max_depth": 5,
                "min_child_weight": leaf(shape) / 5,
                "reg_lambda": 5.0,
                "colsample_bytree": 0.6,
                "subsample": 0.8,
            },
            lambda trial, shape: {
                "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
                "max_depth": trial.suggest_int("max_depth", 2, 9),
                "min_child_weight": trial.suggest_float("min_child_weight", 0.3, 60, log=True),
                "reg_lambda": trial.suggest_float("reg_lambda", 0.01, 50, log=True),
                "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
                "subsample": trial.suggest_float("subsample", 0.5, 1.0),
            },
            xgboost,
            grow_xgboost,
            {"n_jobs": 1},
        ),
        Family(
            "histogram boosting",
            lambda shape: {
                "learning_rate": 0.05,
                "max_leaf_nodes": 15,
                "min_samples_leaf": leaf(shape),
                "l2_regularization": 5.0,
                "max_features": 0.6,
            },
            lambda trial, shape: {
                "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.15, log=True),
                "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 4, 64, log=True),
                "min_samples_leaf": trial.suggest_int("min_samples_leaf", 2, 150, log=True),
                "l2_regularization": trial.suggest_float("l2_regularization", 0.01, 50, log=True),
                "max_features": trial.suggest_float("max_features", 0.2, 1.0),
            },
            histogram,
            grow_histogram,
            {},
        ),
        Family(
            "CatBoost",
            lambda shape: {
                "learning_rate": 0.06,
                "depth": 6,
                "l2_leaf_reg": 3.0,
                "border_count": 128,
                "rsm": 0.7 if shape.columns <= 100 else 0.2,
            },
            lambda trial, shape: {
                "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.12, log=True),
                "depth": trial.suggest_int("depth", 3, 8),
                "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 0.5, 30, log=True),
                "border_count": 128,
                "rsm": trial.suggest_float("rsm", 0.1 if shape.columns > 100 else 0.3, 1.0),
            },
            catboost,
            grow_catboost,
            {"thread_count": 1},
        ),
    )
}
"""By name, the quickest first."""
