"""Functions of steps for tests, in a module that worker processes can import."""

import os
import signal
import time
from pathlib import Path

import pandas as pd

from ml_workflow.data.steps import Function


def running() -> Function:
    """A running sum a unit: another order of the rows would give other numbers."""

    def sums(rows: pd.DataFrame) -> pd.DataFrame:
        weighted = rows["value"] * (rows.groupby("unit").cumcount() + 1)
        return rows.assign(total=weighted.groupby(rows["unit"]).cumsum())

    return sums


def types() -> Function:
    """What the function sees: the type of each column, beside the key."""

    def seen(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[["key"]].assign(**rows.drop(columns="key").dtypes.astype(str))

    return seen


def slow(seconds: float) -> Function:
    """The double of each value, after a while."""

    def double(rows: pd.DataFrame) -> pd.DataFrame:
        time.sleep(seconds)
        return rows.assign(value=rows["value"] * 2)

    return double


def dies_once(mark: str) -> Function:
    """Takes its own process down with the rows of the fifth hundred, the first time."""

    def die(rows: pd.DataFrame) -> pd.DataFrame:
        if rows["key"].min() == 400 and not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return rows

    return die


def refuses_below(path: str) -> Function:
    """Fails for the rows of the first hundred while the file is there."""

    def refuse(rows: pd.DataFrame) -> pd.DataFrame:
        if rows["key"].min() == 0 and Path(path).exists():
            raise ValueError("the first hundred is not to be had")
        return rows

    return refuse


def unlike() -> Function:
    """Whole numbers, decimals, nothing or text, as the rows have it."""

    def kinds(rows: pd.DataFrame) -> pd.DataFrame:
        first = rows["key"].min() // 100
        number, note = 1 if first % 2 else 1.5, None if first % 3 else "text"
        return rows[["key"]].assign(number=number, note=note)

    return kinds
