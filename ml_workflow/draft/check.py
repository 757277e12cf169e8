"""Is a task complete, and do its sources answer? Asked before anything is run."""

import ast
import json
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.joins import examples, sources
from ..data.split import check_holdout
from ..data.tables import read_table
from ..decision.process import current_process
from ..decision.target import check_outcome, classes_of
from ..decision.value import amounts, payoffs, value
from ..errors import Refusal, nearest
from ..store.files import root, write_atomically
from ..store.run import reports
from ..task.file import read_task, task_path
from ..task.definition import Task


def check_task(name: str) -> tuple[Task, dict[str, Any]]:
    """The task and its counts, or a Refusal that says in one sentence what is wrong with it."""
    task = read_task(task_path(name))
    frame = examples(task, sources(task))
    truth = check_outcome(task, frame)
    held = check_holdout(task, frame)
    check_features(task)
    few = frame.iloc[: min(len(frame), 1000)]
    if classes := classes_of(task, truth):
        check_matrix(task, classes)
        payoffs(task, few, classes)
    process = current_process(task, frame)
    value(task, few, process.decide(few, process.score(few)), truth[: len(few)])
    return task, {
        "examples": len(frame),
        "holdout": int(held.sum()),
        "left out": frame.attrs.get("no_target", 0),
    }


def check_features(task: Task) -> None:
    """Refuse a task whose feature function is not exported from 02_dataset."""
    if task.features:
        tree = ast.parse((root() / "ml_workflow" / "dataset.py").read_text(encoding="utf-8"))
        known = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if task.features not in known:
            raise Refusal(
                f"features is {task.features!r}, but 02_dataset exports no such function.{nearest(task.features, known)}"
            )


def check_matrix(task: Task, classes: list[str]) -> None:
    """Refuse a matrix that leaves an outcome of the data without a value."""
    for decided, cells in amounts(task, classes).items():
        if unknown := set(cells) - set(classes):
            raise Refusal(
                f"value.matrix.{decided} names {sorted(unknown)[0]!r}, which {task.target.column!r} does not hold.{nearest(sorted(unknown)[0], classes)}"
            )


def check_table(
    name: str, uri: str, query: str | None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The faults of a new table by the contract of the task's newest run, the rows that keep it, and those that do not."""
    # here: stage 02 loads scikit-learn, for which a run need not wait
    from ..data.contract import faults, quarantined

    task, contract = newest_contract(name)
    frame = read_table(uri, query)
    return faults(contract, frame, task.unit, task.private), *quarantined(
        contract, frame, task.unit
    )


def newest_contract(name: str) -> tuple[Task, dict[str, dict[str, Any]]]:
    """The task and the contract that the newest run of a task has made."""
    task = read_task(task_path(name))
    made = [
        p
        for p in reports().glob(f"{task.name}-*/files/contract.json")
        if not p.parents[1].is_symlink()
    ]
    if not made:
        raise Refusal(
            f"No run of {task.name} has made a contract yet: `ml-workflow run {name} --until 02_dataset` makes one."
        )
    newest = max(made, key=lambda p: p.parents[1].name)
    return read_task(newest.with_name("task.yaml")), json.loads(newest.read_text(encoding="utf-8"))


def put_aside(path: Path, bad: pd.DataFrame) -> Path:
    """Write quarantined rows with their reasons, as Parquet or CSV by the file's name; an older file is not overwritten."""
    if path.exists():
        raise Refusal(
            f"{path} exists already: rows in quarantine are not overwritten; give another name."
        )
    if path.suffix == ".parquet":
        return write_atomically(path, lambda p: bad.to_parquet(p, index=False))
    return write_atomically(path, lambda p: bad.to_csv(p, index=False))
