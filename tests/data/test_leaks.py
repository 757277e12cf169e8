"""The referee: leaks planted in real tables are named, and clean tables pass without a word."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn import datasets
from statsmodels import datasets as others

from ml_workflow.data.joins import examples, inputs, sources
from ml_workflow.data.split import duplicates, is_holdout
from ml_workflow.decision.target import check_outcome, classes_of
from ml_workflow.draft.draft import as_yaml, draft
from ml_workflow.model.leaks import apart, leaks
from ml_workflow.model.signal import signal
from ml_workflow.task.file import as_task, read_task
from ml_workflow.task.definition import Task

BUILT_IN = {"credit": "default_next_month", "penguins": "species", "bikes": "bikers"}
CLEAN = {
    "fair": "affairs",
    "anes96": "vote",
    "randhie": "mdvis",
    "star98": "NABOVE",
    "statecrime": "murder",
    "modechoice": "choice",
    "cancer": "cancer",
    "ccard": "AVGEXP",
    "engel": "foodexp",
    "grunfeld": "invest",
    "macrodata": "realgdp",
}


def table(name: str) -> tuple[pd.DataFrame, str]:
    """A real table from a library, and its target."""
    if name in CLEAN:
        return getattr(others, name).load_pandas().data, CLEAN[name]
    return getattr(datasets, f"load_{name}")(as_frame=True).frame, "target"


def drafted(frame: pd.DataFrame, target: str, folder: Path) -> Task:
    """The task that would be drafted for a table."""
    frame.to_csv(folder / "t.csv", index=False)
    return as_task(
        yaml.safe_load(
            as_yaml("t", str(folder / "t.csv"), target, None, draft(str(folder / "t.csv"), target))
        ),
        "t.yaml",
    )


def judged(task: Task) -> pd.DataFrame:
    """What the referee says of a task's table."""
    frame = examples(task, sources(task))
    truth = check_outcome(task, frame)
    development = frame[~is_holdout(task, frame)].reset_index(drop=True)
    classes = classes_of(task, truth)
    part = development.sample(min(len(development), 6000), random_state=0).sort_index()
    strengths = signal(task, inputs(task, part), check_outcome(task, part), classes, 0)
    return leaks(task, development, check_outcome(task, development), classes, strengths)


@pytest.mark.parametrize(
    "name", [*BUILT_IN, *CLEAN, "iris", "wine", "breast_cancer", "diabetes", "digits"]
)
def test_the_referee_is_quiet_on_tables_without_leaks(name: str, tmp_path: Path) -> None:
    task = (
        read_task(Path("tasks") / f"{name}.yaml")
        if name in BUILT_IN
        else drafted(*table(name), tmp_path)
    )
    found = judged(task)
    assert found.empty, found.to_dict("records")


def noted(frame: pd.DataFrame, y: pd.Series) -> pd.Series:
    """A note a row, with a word that tells the outcome."""
    words = np.random.default_rng(0).integers(0, 50, (len(frame), 4))
    return pd.Series(
        [
            f"call {' '.join(f'w{w}' for w in row)} {'cancelled' if hit else 'stays'}"
            for row, hit in zip(words, y == y.max(), strict=True)
        ]
    )


PLANTED: dict[str, Callable[[pd.DataFrame, pd.Series], pd.Series]] = {
    "a copy": lambda f, y: y,
    "other names for the classes": lambda f, y: y.map(lambda v: f"class {v}"),
    "a sum that contains it": lambda f, y: y + f.select_dtypes("number").iloc[:, 0],
    "a copy with a little noise": lambda f, y: (
        y + np.random.default_rng(0).normal(0, 1e-3 * y.std(), len(y))
    ),
    "filled only where it happened": lambda f, y: pd.Series(
        np.random.default_rng(0).normal(size=len(y))
    ).where(y == y.max()),
    "a code that stands for it": lambda f, y: (
        y.rank(method="dense") * 1000 + pd.Series(np.random.default_rng(0).integers(0, 40, len(y)))
    ),
    "a number in the order of the answer": lambda f, y: y.rank(method="first").astype(int),
    "a word in a text": noted,
}
FITS = {
    "anes96": set(PLANTED) - {"a sum that contains it"},
    "breast_cancer": set(PLANTED) - {"a sum that contains it"},
    "diabetes": {
        "a copy",
        "a sum that contains it",
        "a copy with a little noise",
        "a number in the order of the answer",
    },
}


@pytest.mark.parametrize(
    ("name", "leak"), [(name, leak) for name, kinds in FITS.items() for leak in sorted(kinds)]
)
def test_a_planted_leak_is_named(name: str, leak: str, tmp_path: Path) -> None:
    frame, target = table(name)
    frame = frame.reset_index(drop=True).assign(planted=lambda f: PLANTED[leak](f, f[target]))
    found = judged(drafted(frame, target, tmp_path))
    assert "planted" in set(found["column"]), found.to_dict("records")
    assert found["figure"].between(0, 1).all() and (found["why"].str.len() > 20).all()


def test_a_word_in_a_private_text_is_not_shown(tmp_path: Path) -> None:
    frame, target = table("anes96")
    task = drafted(frame.assign(note=noted(frame, frame[target])), target, tmp_path)
    assert "cancelled" in judged(task)["why"].str.cat() or "stays" in judged(task)["why"].str.cat()
    said = judged(task.model_copy(update={"private": ["note"]}))["why"].str.cat()
    assert "one word" in said and "cancelled" not in said and "stays" not in said


def test_a_table_that_holds_its_rows_twice_is_told(tmp_path: Path) -> None:
    frame, target = table("breast_cancer")
    for copies, expected in ((1, False), (2, True)):
        task = drafted(pd.concat([frame] * copies, ignore_index=True), target, tmp_path)
        rows = examples(task, sources(task))
        held = is_holdout(task, rows)
        assert bool(duplicates(task, rows[~held], rows[held])["copies"]) is expected


def test_parts_that_differ_are_told_apart_and_the_column_is_named(tmp_path: Path) -> None:
    frame, target = table("breast_cancer")
    task = drafted(frame, target, tmp_path)
    rows = examples(task, sources(task))
    held = is_holdout(task, rows)
    assert abs(apart(task, rows[~held], rows[held], 0)[0] - 0.5) < 0.1
    moved = rows[held].assign(**{"mean area": rows[held]["mean area"] * 3})
    area, column = apart(task, rows[~held], moved, 0)
    assert area > 0.8 and column == "mean area"
