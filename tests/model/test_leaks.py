"""Leaks planted in real tables are named, and clean tables pass without a word."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml_workflow.data.joins import examples, inputs
from ml_workflow.data.split import is_holdout
from ml_workflow.decision.kinds import kind_of
from ml_workflow.model.leaks import leaking_columns
from ml_workflow.model.signal import signal_by_column
from ml_workflow.task.definition import Task
from ml_workflow.task.file import read_task, task_path
from tests.model.real_tables import CLEAN, drafted, table

BUILT_IN = ["credit", "penguins", "bikes"]


def leaks_of(task: Task) -> pd.DataFrame:
    """The leaks in the development part of a task's table."""
    frame = examples(task)
    development = frame[~is_holdout(task, frame)].reset_index(drop=True)
    kind = kind_of(task, frame[task.target.column])
    part = development.sample(min(len(development), 6000), random_state=0).sort_index()
    return leaking_columns(
        kind, development, signal_by_column(kind, inputs(task, part), part, seed=0)
    )


@pytest.mark.parametrize(
    "name", [*BUILT_IN, *CLEAN, "iris", "wine", "breast_cancer", "diabetes", "digits"]
)
def test_tables_without_leaks_pass(name: str, tmp_path: Path) -> None:
    task = read_task(task_path(name)) if name in BUILT_IN else drafted(*table(name), tmp_path)
    assert leaks_of(task).to_dict("records") == []


def noted(y: pd.Series) -> pd.Series:
    """A note a row, with a word that tells the outcome."""
    words = np.random.default_rng(0).integers(0, 50, (len(y), 4)).astype(str).tolist()
    ends = np.where(y == y.max(), "cancelled", "stays")
    return pd.Series([f"call w{' w'.join(w)} {end}" for w, end in zip(words, ends, strict=True)])


def noise(y: pd.Series) -> np.ndarray:
    return np.random.default_rng(0).normal(size=len(y))


PLANTED: dict[str, Callable[[pd.DataFrame, pd.Series], pd.Series]] = {
    "a copy": lambda f, y: y,
    "other names for the classes": lambda f, y: y.map("class {}".format),
    "a sum that contains it": lambda f, y: y + f.select_dtypes("number").iloc[:, 0],
    "a copy with a little noise": lambda f, y: y + 1e-3 * y.std() * noise(y),
    "filled only where it happened": lambda f, y: pd.Series(noise(y)).where(y == y.max()),
    "a code that stands for it": lambda f, y: (
        y.rank(method="dense") * 1000 + np.random.default_rng(0).integers(0, 40, len(y))
    ),
    "a number in the order of the answer": lambda f, y: y.rank(method="first").astype(int),
    "a word in a text": lambda f, y: noted(y),
}
OF_NUMBERS = ["a copy", "a sum that contains it", "a copy with a little noise"]
OF_CLASSES = [leak for leak in PLANTED if leak != "a sum that contains it"]
FITS = {
    "anes96": OF_CLASSES,
    "breast_cancer": OF_CLASSES,
    "diabetes": [*OF_NUMBERS, "a number in the order of the answer"],
}


@pytest.mark.parametrize(
    ("name", "leak"), [(name, leak) for name, leaks in FITS.items() for leak in leaks]
)
def test_a_planted_leak_is_named(name: str, leak: str, tmp_path: Path) -> None:
    frame, target = table(name)
    leaks = leaks_of(
        drafted(frame.assign(planted=PLANTED[leak](frame, frame[target])), target, tmp_path)
    )
    assert "planted" in set(leaks["column"]), leaks.to_dict("records")
    assert leaks["figure"].between(0, 1).all() and (leaks["why"].str.len() > 20).all()


def test_a_word_in_a_private_text_is_not_shown(tmp_path: Path) -> None:
    frame, target = table("anes96")
    task = drafted(frame.assign(note=noted(frame[target])), target, tmp_path)
    assert leaks_of(task)["why"].str.contains("cancelled|stays").any()
    words = leaks_of(task.model_copy(update={"private": ["note"]}))["why"].str.cat()
    assert "one word" in words and "cancelled" not in words and "stays" not in words
