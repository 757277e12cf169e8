"""Ways in which real data breaks: functions from sound rows to the rows as they come."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Sample:
    """Sound rows to break, rows of the past, and the inputs by type, the strongest first."""

    rows: pd.DataFrame
    past: pd.DataFrame
    numbers: list[str]
    texts: list[str]
    times: list[str]
    unit: str
    target: str
    seed: int

    @property
    def inputs(self) -> list[str]:
        """The numbers, then the texts."""
        return self.numbers + self.texts

    @property
    def rng(self) -> np.random.Generator:
        """Chance, the same for every way."""
        return np.random.default_rng(self.seed)


NOTHING = "nothing: the rows as they are"
"""The first row of the matrix: what is said of sound rows."""
Change = Callable[[pd.Series, np.random.Generator], pd.Series]
Corruption = Callable[[Sample], pd.DataFrame | None]
"""Gives None where the table has nothing that could break so."""


def on_strongest(names: Callable[[Sample], list[str]], change: Change) -> Corruption:
    """A way that changes the first of the columns named."""

    def corrupt(sample: Sample) -> pd.DataFrame | None:
        changed = {n: change(sample.rows[n], sample.rng) for n in names(sample)[:1]}
        return sample.rows.assign(**changed) if changed else None

    return corrupt


def decimals(change: Change) -> Change:
    """A change of a column of numbers, which are decimals for it."""
    return lambda column, rng: change(column.astype(float), rng)


def written(text: Callable[[float], str]) -> Change:
    """The numbers that are known, written as text."""
    return lambda column, _: column.astype(object).where(column.isna(), column.map(text))


def some(share: float, value: Any) -> Change:
    """In a random share of the rows another value, or what a function makes of the column."""
    return lambda column, rng: column.mask(rng.random(len(column)) < share, value)


def first_half(column: pd.Series) -> np.ndarray:
    """True for the first half of the rows."""
    return np.arange(len(column)) < len(column) / 2


NUMBERS: dict[str, Change] = {
    "another unit: times 1,000": lambda c, _: c * 1000,
    "another unit: a hundredth": lambda c, _: c / 100,
    "the sign turned": lambda c, _: -c,
    "a constant added": lambda c, _: c + c.std(),
    "decimal comma": written(lambda number: f"{number:.2f}".replace(".", ",")),
    "numbers as text": written("{:g}".format),
    "thousands separated": written(lambda number: f"{number * 1000:,.0f}"),
    "all missing": lambda c, _: c * np.nan,
    "a fifth missing": some(0.2, np.nan),
    "missing as -999": some(0.2, -999.0),
    "missing as 0": some(0.3, 0.0),
    "missing filled with the median": some(0.3, pd.Series.median),
    "constant": lambda c, _: c * 0 + c.mode().iloc[0],
    "stuck at one value from the middle on": lambda c, _: c.where(
        first_half(c), c.iloc[len(c) // 2]
    ),
    "outliers: one row in fifty times a million": some(0.02, lambda c: (c + 1) * 1e6),
    "infinite in a few rows": some(0.01, np.inf),
    "cut off at the median": lambda c, _: c.clip(upper=c.median()),
    "noise of the column's own size": lambda c, rng: c + rng.normal(0, c.std(), len(c)),
    "rows of one column shuffled": lambda c, rng: pd.Series(rng.permutation(c), index=c.index),
    "one column shifted by a row": lambda c, _: c.shift(1, fill_value=c.iloc[-1]),
    "whole numbers as decimals": lambda c, _: c,
}
"""What happens to the strongest column of numbers, as decimals."""
TEXTS: dict[str, Change] = {
    "a new category": some(0.2, "never seen"),
    "categories in capitals": lambda c, _: c.str.upper(),
    "spaces around text": lambda c, _: " " + c + "  ",
}
"""What happens to the strongest column of text."""


def month_first(time: pd.Timestamp) -> pd.Timestamp:
    """3/4 read as 4/3, where the day can be a month."""
    turned = pd.notna(time) and time.day <= 12
    return time.replace(day=time.month, month=time.day) if turned else time


TIMES: dict[str, Change] = {
    "dates a year off": lambda c, _: c - pd.Timedelta(days=365),
    "day and month swapped": lambda c, _: c.map(month_first),
    "mixed time zones": some(0.5, lambda c: c + pd.Timedelta(hours=8)),
    "dates as text": lambda c, _: c.dt.strftime("%d.%m.%Y %H:%M"),
}
"""What happens to the strongest column of times."""


def renamed(sample: Sample) -> pd.DataFrame | None:
    """The strongest input under another name."""
    other = {name: f"{name}_v2" for name in sample.inputs[:1]}
    return sample.rows.rename(columns=other) if other else None


def missing(sample: Sample) -> pd.DataFrame | None:
    """The strongest input gone."""
    return sample.rows.drop(columns=sample.inputs[0]) if sample.inputs else None


def swapped(sample: Sample) -> pd.DataFrame | None:
    """The two strongest columns of numbers, each under the other's name."""
    if len(sample.numbers) < 2:
        return None
    one, two = sample.numbers[:2]
    return sample.rows.assign(**{one: sample.rows[two], two: sample.rows[one]})


def slipped(sample: Sample) -> pd.DataFrame | None:
    """A separator too many: in a tenth of the rows every number stands one column further."""
    numbers = in_order(sample)
    numbers.iloc[::10] = np.roll(numbers.iloc[::10], 1, axis=1)
    return sample.rows.assign(**numbers) if len(sample.numbers) > 1 else None


def torn(sample: Sample) -> pd.DataFrame | None:
    """The last row lacks the cells of its second half."""
    numbers = in_order(sample)
    numbers.iloc[-1, len(sample.numbers) // 2 :] = np.nan
    return sample.rows.assign(**numbers) if len(sample.numbers) > 1 else None


def in_order(sample: Sample) -> pd.DataFrame:
    """The numbers, as decimals, in the order in which the rows have them."""
    return sample.rows[[c for c in sample.rows if c in sample.numbers]].astype(float)


def garbled(sample: Sample) -> pd.DataFrame | None:
    """UTF-8 read as Latin-1 in the first column with letters beyond ASCII."""
    for name in sample.texts:
        wrong = sample.rows[name].map(
            lambda text: text.encode().decode("latin-1") if isinstance(text, str) else text
        )
        if not wrong.equals(sample.rows[name]):
            return sample.rows.assign(**{name: wrong})
    return None


def resorted(sample: Sample) -> pd.DataFrame:
    """Sorted by the strongest input, or turned round."""
    if sample.inputs:
        return sample.rows.sort_values(sample.inputs[0], kind="stable", ignore_index=True)
    return sample.rows.iloc[::-1].reset_index(drop=True)


def selected(sample: Sample) -> pd.DataFrame | None:
    """A filter somebody forgot: only rows above the median of the strongest number."""
    if not sample.numbers:
        return None
    numbers = sample.rows[sample.numbers[0]].astype(float)
    rows = sample.rows[numbers >= numbers.median()]
    return rows.reset_index(drop=True) if 10 < len(rows) < len(numbers) else None


def stale(sample: Sample) -> pd.DataFrame:
    """Rows of the past come again under new keys."""
    past, size, seed = sample.past, len(sample.rows), int(sample.rng.integers(1 << 30))
    old = past.sample(size, replace=len(past) < size, random_state=seed, ignore_index=True)
    return old.assign(**{sample.unit: sample.rows[sample.unit].to_numpy()})


def flipped(sample: Sample) -> pd.DataFrame:
    """The outcomes of a third of the rows belong to other rows."""
    label, rng = sample.rows[sample.target].copy(), sample.rng
    rows = np.flatnonzero(rng.random(len(label)) < 1 / 3)
    label.iloc[rows] = label.to_numpy()[rng.permutation(rows)]
    return sample.rows.assign(**{sample.target: label})


def late(sample: Sample) -> pd.DataFrame:
    """Outcomes of the last half of the rows are not in yet: the usual or least one stands there."""
    label = sample.rows[sample.target]
    usual = label.mode().iloc[0] if label.nunique() <= 50 else label.min()
    return sample.rows.assign(**{sample.target: label.where(first_half(label), usual)})


CORRUPTIONS: dict[str, Corruption] = {
    **{way: on_strongest(lambda s: s.numbers, decimals(how)) for way, how in NUMBERS.items()},
    "missing as 'NA'": on_strongest(
        lambda s: s.numbers, lambda c, rng: some(0.2, "NA")(c.astype(object), rng)
    ),
    "a column renamed": renamed,
    "a column missing": missing,
    "a column added": lambda s: s.rows.assign(comment=s.rng.normal(size=len(s.rows))),
    "columns in another order": lambda s: s.rows[list(s.rng.permutation(s.rows.columns))],
    "two columns swapped": swapped,
    "cells slipped by one column": slipped,
    **{way: on_strongest(lambda s: s.texts, how) for way, how in TEXTS.items()},
    "UTF-8 read as Latin-1": garbled,
    **{way: on_strongest(lambda s: s.times, how) for way, how in TIMES.items()},
    "a tenth of the rows twice": lambda s: pd.concat(
        [s.rows, s.rows.head(max(1, len(s.rows) // 10))], ignore_index=True
    ),
    "joined twice": lambda s: pd.concat([s.rows, s.rows], ignore_index=True),
    "file cut off in the middle": lambda s: s.rows.head(max(1, len(s.rows) // 2)),
    "last row cut off in the middle": torn,
    "rows in another order": resorted,
    "only some of the customers": selected,
    "a stale copy": stale,
    "labels flipped": flipped,
    "labels late": late,
}
"""By what is said of them."""
