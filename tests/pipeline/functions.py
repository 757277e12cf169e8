"""Functions of steps for tests, in a module that worker processes can import."""

import os
import signal
import time
from pathlib import Path

import pandas as pd

from ml_workflow.data.steps import Function

MONTHS = {"PAY": ["PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"]} | {
    name: [f"{name}{month}" for month in range(1, 7)] for name in ("BILL_AMT", "PAY_AMT")
}


def months_of(customers: pd.DataFrame) -> pd.DataFrame:
    """The credit table taken apart: six rows a customer, one for each month, in an order that mixes the customers."""
    rows = [
        customers[["customer_id", "LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE"]]
        .assign(
            month=month, **{name: customers[columns[month]] for name, columns in MONTHS.items()}
        )
        .sample(frac=1, random_state=month)
        for month in range(6)
    ]
    return pd.concat(rows, ignore_index=True)


def customers() -> Function:
    """The credit table put together again: needs all six rows of a customer, in the order of the months."""

    def together(rows: pd.DataFrame) -> pd.DataFrame:
        place = rows.groupby("customer_id").cumcount()
        parts = [
            rows[place == month]
            .set_index("customer_id")
            .rename(columns={n: c[month] for n, c in MONTHS.items()})
            for month in range(6)
        ]
        rest = [
            part[[columns[month] for columns in MONTHS.values()]]
            for month, part in enumerate(parts)
        ]
        first = parts[0][["LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE"]]
        return pd.concat([first, *rest], axis=1).reset_index()

    return together


def running() -> Function:
    """A running sum a unit: another order of the rows would give other numbers."""
    return lambda rows: rows.assign(
        total=(rows["value"] * (rows.groupby("unit").cumcount() + 1)).groupby(rows["unit"]).cumsum()
    )


def types() -> Function:
    """What the function sees: the type of each column, beside the key."""
    return lambda rows: pd.DataFrame(
        {
            "key": rows["key"],
            **{name: str(kind) for name, kind in rows.dtypes.items() if name != "key"},
        }
    )


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
        return rows[["key"]].assign(
            number=1 if first % 2 else 1.5, note=None if first % 3 else "text"
        )

    return kinds
