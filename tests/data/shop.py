"""Customers, and the history of their payments."""

from pathlib import Path
from typing import Any

import pandas as pd

from ml_workflow.task.definition import Task
from ml_workflow.task.file import as_task

CUSTOMERS = pd.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "decided": pd.to_datetime(["2026-03-01"] * 4),
        "age": [30, 40, 50, 60],
        "left": [0, 1, 0, 1],
    }
)
DAYS = ["2026-01-01", "2026-02-01", "2026-04-01", "2026-02-28", "2026-03-01", "2026-01-01"]
PAYMENTS = pd.DataFrame(
    {
        "id": [1, 1, 1, 2, 2, 9],
        "paid": pd.to_datetime(DAYS),
        "amount": [10.0, 20.0, 1000.0, 5.0, 7000.0, 3.0],
    }
)
SUMS = {"payments": "count(*)", "total": "sum(amount)", "largest": "max(amount)"}


def payments(folder: Path, **more: Any) -> dict[str, Any]:
    """The history as a source."""
    return {"name": "payments", "uri": str(folder / "payments.parquet"), **more}


def task_of(
    folder: Path, *others: dict[str, Any], first: dict[str, Any] | None = None, **more: Any
) -> Task:
    """A task over the customers and other sources."""
    CUSTOMERS.to_parquet(folder / "customers.parquet")
    PAYMENTS.to_parquet(folder / "payments.parquet")
    start = {"name": "customers", "uri": str(folder / "customers.parquet"), **(first or {})}
    target = {"column": "left", "kind": "binary", "positive": 1}
    content = {"name": "t", "question": "?", "unit": "id", "target": target, **more}
    return as_task({"sources": [start, *others], **content}, "t.yaml")
