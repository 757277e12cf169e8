"""The functions of a project that its task names: features, and aggregates of a history."""

import importlib
from collections.abc import Callable

import pandas as pd

from ..errors import Refusal
from ..store.files import package
from ..task.definition import Task

Function = Callable[[pd.DataFrame], pd.DataFrame]


def feature_step(task: Task, module: object = None) -> Function:
    """The feature function that the task names; the table as it is where it names none.

    It stands in `module`, or else in the project's own package. Raises Refusal where it does not.
    """
    if not task.features:
        return as_it_is
    return _function(task.features, "features", "write it there and export", module)


def aggregate_step(name: str) -> Function:
    """The function of the project that makes one row a unit of a history's rows, by its name."""
    return _function(name, "`aggregate`", "write it there and export, or give SQL by name")


def as_it_is(frame: pd.DataFrame) -> pd.DataFrame:
    """No features: the table as it is."""
    return frame


def _function(name: str, key: str, remedy: str, module: object = None) -> Function:
    module = module or importlib.import_module(f"{package()}.dataset")
    function = getattr(module, name, None)
    if not callable(function):
        raise Refusal(f"{key} is {name!r}, but 02_dataset exports no such function: {remedy}.")
    return function
