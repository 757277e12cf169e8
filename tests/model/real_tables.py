"""Real tables from libraries, and the tasks that would be drafted for them."""

from pathlib import Path

import pandas as pd
import yaml
from sklearn import datasets
from statsmodels import datasets as others

from ml_workflow.draft.guesses import as_yaml, guess
from ml_workflow.task.definition import Task
from ml_workflow.task.file import as_task

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
    """A real table, and its target."""
    if name in CLEAN:
        return getattr(others, name).load_pandas().data.reset_index(drop=True), CLEAN[name]
    return getattr(datasets, f"load_{name}")(as_frame=True).frame, "target"


def drafted(frame: pd.DataFrame, target: str, folder: Path) -> Task:
    """The task that would be drafted for a table."""
    uri = str(folder / "t.csv")
    frame.to_csv(uri, index=False)
    return as_task(yaml.safe_load(as_yaml("t", uri, target, None, guess(uri, target))), "t.yaml")
