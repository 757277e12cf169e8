"""Small searches of each kind of target."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification, make_regression
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ml_workflow.decision.kinds import kind_of
from ml_workflow.model.families import FAMILIES, Parameters, spaces
from ml_workflow.model.fitting import Folds
from ml_workflow.model.search import Candidate, Search
from tests.decision.tasks import task_of

KINDS = ["binary", "multiclass", "regression"]
NEVER = 1e12


def rows_of(kind: str, rows: int = 160, columns: int = 8) -> tuple[pd.DataFrame, np.ndarray]:
    """A table of numbers with gaps, and its target."""
    options = {"n_informative": 4, "random_state": 0}
    if kind == "regression":
        X, y = make_regression(rows, columns, noise=80, **options)
    else:
        classes = {"n_classes": 2 + (kind == "multiclass"), "n_redundant": 0, "flip_y": 0.1}
        X, y = make_classification(rows, columns, **classes, **options)
    table = pd.DataFrame(X).add_prefix("x")
    table.iloc[::17, 0] = np.nan
    return table, y


def steps() -> Pipeline:
    """The steps from a table of numbers to numbers."""
    return make_pipeline(FunctionTransformer(np.asarray))


def search_of(
    kind: str,
    rows: int = 160,
    columns: int = 8,
    seed: int = 0,
    place: Path = Path(),
    target: Any = None,
    folds: Folds | None = None,
    **task: Any,
) -> Search:
    """A search on three folds of random rows, or on the folds given."""
    table, y = rows_of(kind, rows, columns)
    frame = table.assign(y=y if target is None else target, row=range(rows), when=range(rows))
    frame["group"] = frame["row"] // 5
    splits = folds or list(KFold(3, shuffle=True, random_state=0).split(table))
    target_kind = kind_of(task_of(kind, **task), frame["y"])
    search = Search.of(target_kind, frame, table, steps(), splits, seed)
    return replace(search, place=place / search.place.name)


def defaults(search: Search, family: str) -> Parameters:
    """The settings that a family begins with."""
    return {name: span.default for name, span in spaces(search.shape)[family].items()}


def candidate(search: Search, name: str, family: str, probabilities: np.ndarray) -> Candidate:
    """A model of few trees that was judged to give these probabilities, or numbers."""
    loss = float(search.kind.losses(probabilities, search.target).mean())
    trees = 20 if FAMILIES[family].grow else 0
    estimator = FAMILIES[family].build(defaults(search, family), search.shape, trees, 0)
    return Candidate(name, family, True, loss, probabilities, 1.0, estimator)


def nothing(search: Search) -> np.ndarray:
    """Scores of nothing, in the shape of a candidate's."""
    rows = len(search.target)
    return search.kind.choose(np.zeros((rows, len(search.kind.classes))), np.zeros(rows))
