"""The contract: what every column of a row promises, and the rows of a table that keep it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from ..task.definition import Task
from .columns import Column, numbers_in, timestamps, type_of
from .joins import inputs


class Contract(dict[str, Column]):
    """What every column of a row promises, by its name."""

    @classmethod
    def learned(cls, task: Task, development: pd.DataFrame) -> "Contract":
        """What the input columns of the development part promise."""
        columns = inputs(task, development).items()
        return cls({str(n): Column.learned(c, n in task.private) for n, c in columns})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Contract":
        """The contract as contract.json keeps it."""
        return cls({name: Column(**rules) for name, rules in content.items()})

    def as_json(self) -> dict[str, Any]:
        """The contract as contract.json keeps it."""
        return {name: column.as_json() for name, column in self.items()}

    @property
    def numeric(self) -> list[str]:
        """The names of the columns of numbers."""
        return [name for name, column in self.items() if column.is_numeric]

    def breaches(self, frame: pd.DataFrame, unit: str = "") -> pd.DataFrame:
        """Every breach: column, rule, and the row's position (-1: the whole table).

        With `unit` also units that repeat.
        """
        numbered, parts = frame.reset_index(drop=True), []
        try:
            pa.DataFrameSchema({n: c.schema() for n, c in self.items()}).validate(
                numbered, lazy=True
            )
        except pa.errors.SchemaErrors as errors:
            parts.append(_breaches(errors.failure_cases))
        if unit in numbered and numbered[unit].duplicated().any():
            again = np.flatnonzero(numbered[unit].duplicated())
            parts.append(pd.DataFrame({"column": unit, "rule": "does not repeat", "row": again}))
        nothing = pd.DataFrame(columns=["column", "rule", "row"], dtype=str)
        return pd.concat(parts or [nothing], ignore_index=True)

    def faults(
        self, frame: pd.DataFrame, unit: str = "", private: list[str] | None = None
    ) -> pd.DataFrame:
        """The breaches by column and rule: how many rows, and three of them.

        Rows are named by unit or, where that is private, by position.
        """
        known = unit in frame and unit not in (private or [])
        name = frame[unit].astype(str).to_numpy() if known else np.arange(len(frame)).astype(str)
        rows = []
        for key, part in self.breaches(frame, unit).groupby(["column", "rule"], sort=False):
            places = part["row"].to_numpy(dtype=int)
            count = len(frame) if (places < 0).any() else len(set(places))
            rows.append((*key, count, ", ".join(name[places[places >= 0][:3]])))
        return pd.DataFrame(rows, columns=["column", "rule", "rows", "for example"])

    def quarantine(self, frame: pd.DataFrame, unit: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows that keep the contract, and the others with the reason; together every row once.

        Numbers that came as text are read.
        """
        frame = frame.reset_index(drop=True)
        read = frame.assign(**{n: numbers_in(frame[n]) for n in self.numeric if n in frame})
        breaches = self.breaches(read, unit)
        words = breaches["column"] + " " + breaches["rule"]
        reasons = words.groupby(breaches["row"].astype(int)).agg("; ".join)
        whole, own = reasons.get(-1, ""), reasons.reindex(frame.index).fillna("")
        reason = own.map(lambda text: "; ".join(filter(None, [whole, text])))
        bad = reason != ""
        good_rows = read[~bad].infer_objects().reset_index(drop=True)
        return good_rows, frame[bad].assign(reason=reason[bad]).reset_index(drop=True)

    def typed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows with times and booleans that a database or JSON keeps as text or numbers, read.

        A column is read where all its values can be, else left for the contract's checks to tell.
        """
        read: dict[str, pd.Series[Any]] = {}
        for name, column in self.items():
            cells = frame[name]
            if column.type == type_of(cells):
                continue
            if column.type == "time":
                times = timestamps(cells)
                read |= {name: times} if times.notna().equals(cells.notna()) else {}
            elif column.type == "boolean" and cells.dropna().isin([0, 1]).all():
                read[name] = cells.map(bool, na_action="ignore")
        return frame.assign(**read)


def _breaches(cases: pd.DataFrame) -> pd.DataFrame:
    """Pandera's failure cases as breaches."""
    of_column = cases["schema_context"] == "Column"
    words = {"column_in_dataframe": "is there", "not_nullable": "is not missing"}
    return pd.DataFrame(
        {
            "column": cases["column"].where(of_column, cases["failure_case"]).astype(str),
            "rule": cases["check"].astype(str).replace(words),
            "row": cases["index"].fillna(-1).astype(int),
        }
    )
