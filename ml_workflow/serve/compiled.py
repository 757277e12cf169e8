"""The estimator of a release without the frames between its steps; used only where it is proved to score the same."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..model.release import Release
from .rows import Column, as_json, frame

Score = Callable[[pd.DataFrame], np.ndarray]
KEPT = 100_000
"""Distinct values of a text or time column whose features are kept."""


def scorer(release: Release, columns: list[Column]) -> tuple[Score, str]:
    """How a release's raw frames are scored, and the name of the path: compiled where that is the same, else its pipeline."""
    try:
        score = _compiled(release)
        return (
            (score, "compiled") if _same(release, score, columns) else (release.score, "pipeline")
        )
    except Exception:  # whatever a release holds that this module does not know
        return release.score, "pipeline"


def _compiled(release: Release) -> Score:
    vectorizer, *steps, estimator = (step for _, step in release.estimator.steps)
    fills, numbers, predict = (
        [_bare(step) for step in steps],
        Numbers(vectorizer),
        _predictor(estimator),
    )

    def score(raw: pd.DataFrame) -> np.ndarray:
        array = numbers(release.features(raw))
        for step in fills:
            array = step.transform(array)
        return predict(array)

    chances = hasattr(estimator, "predict_proba")

    def scored(raw: pd.DataFrame) -> np.ndarray:
        found = np.asarray(score(raw))
        return found.astype(float) if not chances else found[:, 1] if found.shape[1] == 2 else found

    return scored


class Numbers:
    """What a fitted TableVectorizer makes of a frame, as an array: numbers pass, any other value's features are asked for once and kept."""

    def __init__(self, vectorizer: Any) -> None:
        self.width = len(vectorizer.all_outputs_)
        place = {name: i for i, name in enumerate(vectorizer.all_outputs_)}
        self.places = {
            name: [place[o] for o in outputs]
            for name, outputs in vectorizer.input_to_outputs_.items()
        }
        self.steps = {name: vectorizer.all_processing_steps_[name][:-1] for name in self.places}
        self.passing = [
            name
            for name, outputs in self.places.items()
            if outputs
            and {type(s).__name__ for s in self.steps[name]}
            <= {"DropUninformative", "ToFloat", "PassThrough"}
        ]
        self.kept: dict[str, dict[Any, np.ndarray]] = {
            name: {}
            for name, outputs in self.places.items()
            if outputs and name not in self.passing
        }

    def __call__(self, table: pd.DataFrame) -> np.ndarray:
        """The features of a table: float32, rows × outputs."""
        found = np.empty((len(table), self.width), dtype=np.float32)
        if self.passing:
            found[:, [self.places[name][0] for name in self.passing]] = table[
                self.passing
            ].to_numpy(dtype=np.float32, na_value=np.nan)
        for name in self.kept:
            found[:, self.places[name]] = self._looked_up(name, table[name])
        return found

    def _looked_up(self, name: str, column: pd.Series) -> np.ndarray:
        codes, values = pd.factorize(column, use_na_sentinel=False)
        kept = self.kept[name]
        keys = [None if pd.isna(value) else value for value in values]
        new = [i for i, key in enumerate(keys) if key not in kept]
        if new:
            asked = (
                pd.Series(values, dtype=column.dtype, name=name).iloc[new].reset_index(drop=True)
            )
            if len(kept) + len(new) > KEPT:
                self.kept[name] = kept = {}
                asked, new = (
                    pd.Series(values, dtype=column.dtype, name=name),
                    list(range(len(keys))),
                )
            kept |= dict(zip([keys[i] for i in new], self._asked(name, asked), strict=True))
        return np.stack([kept[key] for key in keys])[codes]

    def _asked(self, name: str, column: Any) -> np.ndarray:
        """What the fitted steps of a column make of these values: values × outputs."""
        for step in self.steps[name]:
            if type(step).__module__.startswith("sklearn") and column.ndim == 1:
                column = column.to_frame()
            column = step.transform(column)
        return np.asarray(column, dtype=np.float32).reshape(len(column), -1)


def _predictor(estimator: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Probabilities per class, or numbers, from an array: a blend member by member, a booster by its own call."""
    name = type(estimator).__name__
    if name in ("VotingClassifier", "VotingRegressor"):
        members, weights = (
            [_predictor(member) for member in estimator.estimators_],
            estimator._weights_not_none,
        )
        parts = list(zip(members, np.asarray(weights), strict=True))
        return lambda array: (
            sum(member(array) * weight for member, weight in parts) / sum(weights)
        )  # one by one, as NumPy's mean does where rows are several
    if name in ("LGBMClassifier", "LGBMRegressor"):
        booster = estimator.booster_
        return lambda array: (
            _both(booster.predict(array, num_threads=threads(array)))
            if name == "LGBMClassifier"
            else booster.predict(array, num_threads=threads(array))
        )
    if name in ("XGBClassifier", "XGBRegressor"):
        every = estimator.get_booster()
        single = every.copy()
        single.set_param("nthread", 1)
        ask = lambda array: (single if threads(array) else every).inplace_predict(
            array, validate_features=False
        )
        return (lambda array: _both(ask(array))) if name == "XGBClassifier" else ask
    if name in ("CatBoostClassifier", "CatBoostRegressor"):
        ask = estimator.predict_proba if name == "CatBoostClassifier" else estimator.predict
        return lambda array: ask(array, thread_count=threads(array) or -1)
    plain = _bare(estimator)
    return plain.predict_proba if hasattr(plain, "predict_proba") else plain.predict


def threads(array: np.ndarray) -> int:
    """Threads that are worth waking for this many rows; 0 means all."""
    return 1 if len(array) < 500 else 0


def _both(chances: np.ndarray) -> np.ndarray:
    """Chances of both classes where only that of the second is given."""
    return np.vstack((1.0 - chances, chances)).T if chances.ndim == 1 else chances


def _bare(step: Any) -> Any:
    """A fitted step that takes an array without a word about names."""
    bare = copy.copy(step)
    for attribute in ("feature_names_in_", "_sklearn_output_config"):
        bare.__dict__.pop(attribute, None)
    return bare


def _same(release: Release, score: Score, columns: list[Column]) -> bool:
    """Whether scores are equal to the last bit, as a replay asks, and so every decision, on rows all over the contract, together and one by one."""
    rows = frame(columns, list(rows_for_proof(release, columns)))
    expected = np.asarray(release.score(rows))
    found = np.asarray(score(rows))
    single = np.concatenate([score(rows.iloc[[i]]) for i in range(20)])
    return np.array_equal(found, expected) and np.array_equal(single, expected[:20])


def rows_for_proof(
    release: Release, columns: list[Column], count: int = 500, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """The release's examples, and rows drawn over the contract's ranges with its categories, unseen ones and missing values."""
    generator = np.random.default_rng(seed)
    known = {c.name: release.examples[c.name] for c in columns if c.name in release.examples}
    for i in range(len(release.examples)):
        yield {name: as_json(column.iloc[i]) for name, column in known.items()} | {
            c.name: drawn(c, [], generator) for c in columns if c.name not in known
        }
    for _ in range(count):
        yield {c.name: drawn(c, list(known.get(c.name, [])), generator) for c in columns}


def drawn(column: Column, known: list[Any], generator: np.random.Generator) -> Any:
    """A value that the column's type allows: from its range, of its categories or examples, now and then missing or never seen."""
    rule, chance = column.rule, generator.random()
    if rule["nullable"] and chance < 0.1:
        return None
    if "min" in rule:
        number = generator.uniform(rule["min"], rule["max"])
        return (
            int(min(max(round(number), np.ceil(rule["min"])), np.floor(rule["max"])))
            if rule["type"] == "integer"
            else number
        )
    if rule["type"] == "text" and chance > 0.9:
        return f"never seen {generator.integers(1000)}"
    choices = [as_json(value) for value in rule.get("categories") or known if not pd.isna(value)]
    return choices[generator.integers(len(choices))] if choices else USUAL[rule["type"]]


USUAL = {"integer": 1, "number": 1.0, "boolean": True, "time": "2020-01-01", "text": "text"}
