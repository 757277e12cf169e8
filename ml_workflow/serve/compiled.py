"""A release's estimator without the frames between its steps, where it scores just the same."""

import copy
import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import VotingClassifier, VotingRegressor

from ..data.columns import Column
from ..model.fitting import scores_of
from ..model.release import Release
from .rows import Row, RowSchema, as_rows

Score = Callable[[pd.DataFrame], np.ndarray]
Predict = Callable[[np.ndarray], np.ndarray]
CACHED = 100_000
"""Distinct values of a text or time column whose features are kept."""
PASSING = {"DropUninformative", "ToFloat", "PassThrough"}
"""The steps of skrub that leave a number as it is."""
USUAL = {"integer": 1, "number": 1.0, "boolean": True, "time": "2020-01-01", "text": "text"}
"""A value of each type, where neither contract nor examples tell one."""


def scorer(release: Release, rows: RowSchema) -> tuple[Score, str]:
    """How a release's raw frames are scored, and the path's name: compiled, or else pipeline."""
    try:
        score = _compiled(release)
        if _is_same(release, score, rows):
            return score, "compiled"
    except Exception:  # whatever a release holds that this module does not know
        pass
    return release.score, "pipeline"


def _compiled(release: Release) -> Score:
    vectorizer, *between, estimator = (step for _, step in release.estimator.steps)
    numbers, predict = _numbers(vectorizer), _predictor(estimator)
    steps = [_without_names(step) for step in between]
    dtype = None if hasattr(estimator, "predict_proba") else float

    def score(frame: pd.DataFrame) -> np.ndarray:
        array = numbers(release.features(frame))
        for step in steps:
            array = step.transform(array)
        return np.asarray(predict(array), dtype=dtype)

    return score


def _numbers(vectorizer: Any) -> Callable[[pd.DataFrame], np.ndarray]:
    """What a fitted TableVectorizer makes of a frame, as an array: float32, rows x outputs."""
    place = {name: i for i, name in enumerate(vectorizer.all_outputs_)}
    passing: dict[str, int] = {}
    encoders: list[Encoder] = []
    for name, outputs in vectorizer.input_to_outputs_.items():
        steps = vectorizer.all_processing_steps_[name][:-1]
        places = [place[output] for output in outputs]
        if places and {type(step).__name__ for step in steps} <= PASSING:
            passing[name] = places[0]
        elif places:
            encoders.append(Encoder(name, steps, places))
    names, passing_places = list(passing), list(passing.values())

    def numbers(table: pd.DataFrame) -> np.ndarray:
        array = np.empty((len(table), len(place)), dtype=np.float32)
        if names:
            array[:, passing_places] = table[names].to_numpy(dtype=np.float32, na_value=np.nan)
        for encoder in encoders:
            array[:, encoder.places] = encoder(table[encoder.name])
        return array

    return numbers


class Encoder:
    """The features of a column by its fitted steps, computed once for each value and kept."""

    def __init__(self, name: str, steps: list[Any], places: list[int]) -> None:
        self.name, self.steps, self.places = name, steps, places
        self.cache: dict[Any, np.ndarray] = {}

    def __call__(self, column: pd.Series) -> np.ndarray:
        """The features of the column's cells: rows x places."""
        encoded, values = pd.factorize(column, use_na_sentinel=False)
        keys = [None if pd.isna(value) else value for value in values]
        new = [i for i, key in enumerate(keys) if key not in self.cache]
        if len(self.cache) + len(new) > CACHED:
            self.cache, new = {}, list(range(len(keys)))
        if new:
            cells = pd.Series(values, dtype=column.dtype, name=self.name).iloc[new]
            features = self._transformed(cells.reset_index(drop=True))
            self.cache |= zip([keys[i] for i in new], features, strict=True)
        return np.stack([self.cache[key] for key in keys])[encoded]

    def _transformed(self, column: Any) -> np.ndarray:
        """What the steps make of these values: values x places."""
        for step in self.steps:
            if type(step).__module__.startswith("sklearn") and column.ndim == 1:
                column = column.to_frame()
            column = step.transform(column)
        return np.asarray(column, dtype=np.float32).reshape(len(column), -1)


def _predictor(estimator: Any) -> Predict:
    """Scores from an array: a blend member by member, a booster by its own call."""
    if isinstance(estimator, VotingClassifier | VotingRegressor):
        return _blend(estimator)
    library = type(estimator).__module__.partition(".")[0]
    return PREDICTORS.get(library, _plain)(estimator)


def _blend(estimator: Any) -> Predict:
    weights = np.asarray(estimator._weights_not_none)
    members = [_predictor(member) for member in estimator.estimators_]
    parts = list(zip(members, weights, strict=True))
    # one by one, as NumPy's mean does where rows are several
    return lambda array: sum(predict(array) * weight for predict, weight in parts) / sum(weights)


def _lightgbm(estimator: Any) -> Predict:
    booster = estimator.booster_
    return lambda array: booster.predict(array, num_threads=threads(array))


def _xgboost(estimator: Any) -> Predict:
    every = estimator.get_booster()
    single = every.copy()
    single.set_param("nthread", 1)
    return lambda array: (single if threads(array) else every).inplace_predict(
        array, validate_features=False
    )


def _catboost(estimator: Any) -> Predict:
    predict = getattr(estimator, "predict_proba", estimator.predict)
    return lambda array: scores_of(predict(array, thread_count=threads(array) or -1))


def _plain(estimator: Any) -> Predict:
    plain = _without_names(estimator)
    predict = getattr(plain, "predict_proba", plain.predict)
    return lambda array: scores_of(predict(array))


PREDICTORS = {"lightgbm": _lightgbm, "xgboost": _xgboost, "catboost": _catboost}
"""How a booster is asked, by its library."""


def threads(array: np.ndarray) -> int:
    """Threads that are worth waking for this many rows; 0 means all."""
    return 1 if len(array) < 500 else 0


def _without_names(step: Any) -> Any:
    """A fitted step that takes an array without a word about names."""
    plain = copy.copy(step)
    for attribute in ("feature_names_in_", "_sklearn_output_config"):
        plain.__dict__.pop(attribute, None)
    return plain


def _is_same(release: Release, score: Score, rows: RowSchema) -> bool:
    """Whether scores are equal to the last bit, as a replay asks, together and one by one."""
    frame = rows.frame(proof_rows(release, rows))
    expected, together = np.asarray(release.score(frame)), score(frame)
    alone = np.concatenate([score(frame.iloc[[i]]) for i in range(20)])
    return np.array_equal(together, expected) and np.array_equal(alone, expected[:20])


def proof_rows(release: Release, schema: RowSchema, count: int = 500, seed: int = 0) -> list[Row]:
    """The release's examples, and `count` rows from all over the contract."""
    random, columns = Random(seed), {field.name: field.column for field in schema.fields}
    own = as_rows(release.examples.filter(items=list(columns)))
    known = {name: [row[name] for row in own if name in row] for name in columns}

    def row() -> Row:
        return {name: random_value(columns[name], known[name], random) for name in columns}

    return [row() | example for example in own] + [row() for _ in range(count)]


def random_value(column: Column, known: list[Any], random: Random) -> Any:
    """A value that the column's type allows: from its range, of its categories or examples.

    Now and then it is missing, or was never seen.
    """
    chance, (low, high) = random.random(), column.bounds
    if column.nullable and chance < 0.1:
        return None
    if column.type == "text" and chance > 0.9:
        return f"never seen {chance}"
    if column.min is None:
        return random.choice(column.categories or known or [USUAL[column.type]])
    if column.type == "integer":
        return random.randint(math.ceil(low), math.floor(high))
    return random.uniform(low, high)
