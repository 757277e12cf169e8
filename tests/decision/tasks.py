"""Small tasks of each kind of target."""

from typing import Any

from ml_workflow.task.definition import Task
from ml_workflow.task.file import as_task

POSITIVE = {"binary": {"positive": 1}}


def task_of(kind: str, **more: Any) -> Task:
    """A task whose target stands in the column `y`."""
    target = {"column": "y", "kind": kind, **POSITIVE.get(kind, {})}
    content = {"name": "t", "question": "?", "unit": "row", "target": target, **more}
    return as_task({"sources": [{"name": "t", "uri": "t.csv"}], **content}, "t.yaml")
