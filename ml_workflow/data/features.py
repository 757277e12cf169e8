"""The functions of a project that its task names: features, and aggregates of a history."""

import importlib
from collections.abc import Callable

import pandas as pd

from ..errors import Refusal
from ..task.definition import Task


def as_it_is(frame: pd.DataFrame) -> pd.DataFrame:
    "No features: the table as it is."
    return frame


def feature_step(task: Task) -> Callable[[pd.DataFrame], pd.DataFrame]:
    "The feature function that the task names, from this module; the table as it is without one."
    module = importlib.import_module(
        __name__ if __name__.startswith("ml_workflow") else "ml_workflow.dataset"
    )
    step = getattr(module, task.features or "as_it_is", None)
    if not callable(step):
        raise Refusal(
            f"features is {task.features!r}, but 02_dataset exports no such function: write it there and export."
        )
    return step


def summed_up(name: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    "The function of 02_dataset that makes one row a unit of a history's rows."
    function = getattr(
        importlib.import_module(f"{__package__ or 'ml_workflow'}.dataset"), name, None
    )
    if not callable(function):
        raise Refusal(
            f"`aggregate` is {name!r}, but 02_dataset exports no such function: write it there and export, or give SQL by name."
        )
    return function
