"""Is a task complete, and do its sources answer? Asked before anything is run."""

import ast
from typing import Any

from ..define import (
    amounts,
    check_holdout,
    check_outcome,
    classes_of,
    current_process,
    examples,
    payoffs,
    sources,
    value,
)
from ..errors import Refusal, nearest
from ..store.files import root
from ..store.task import Task, read_task, task_path


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
    return task, {"examples": len(frame), "holdout": int(held.sum()), "left out": frame.attrs.get("no_target", 0)}


def check_features(task: Task) -> None:
    """Refuse a task whose feature function is not exported from 02_dataset."""
    if task.features:
        tree = ast.parse((root() / "ml_workflow" / "dataset.py").read_text(encoding="utf-8"))
        known = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if task.features not in known:
            raise Refusal(f"features is {task.features!r}, but 02_dataset exports no such function.{nearest(task.features, known)}")


def check_matrix(task: Task, classes: list[str]) -> None:
    """Refuse a matrix that leaves an outcome of the data without a value."""
    for decided, cells in amounts(task, classes).items():
        if unknown := set(cells) - set(classes):
            raise Refusal(f"value.matrix.{decided} names {sorted(unknown)[0]!r}, which {task.target.column!r} does not hold.{nearest(sorted(unknown)[0], classes)}")
