"""Ways in which real data breaks: functions from sound rows to the rows as they come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Columns:
    """What a corruption may work on: inputs by type, the strongest first, keys, and past rows."""

    numbers: list[str]
    texts: list[str]
    times: list[str]
    unit: str
    target: str
    past: pd.DataFrame

    @property
    def strongest(self) -> str | None:
        """The strongest number or, where there is none, text; None without either."""
        return next(iter(self.numbers + self.texts), None)


NOTHING = "nothing: the rows as they are"
"""The first row of the matrix: what is said of sound rows."""
Change = Callable[[pd.Series, np.random.Generator], pd.Series]
Corruption = Callable[[pd.DataFrame, Columns, np.random.Generator], pd.DataFrame | None]
"""Gives None where the table has nothing that could break so."""


def on_strongest(names: Callable[[Columns], list[str]], change: Change) -> Corruption:
    """A way that changes the first of the columns named."""

    def corrupt(
        frame: pd.DataFrame, columns: Columns, rng: np.random.Generator
    ) -> pd.DataFrame | None:
        of_type = names(columns)
        return frame.assign(**{n: change(frame[n], rng) for n in of_type[:1]}) if of_type else None

    return corrupt


def decimals(change: Change) -> Change:
    """A change of a column of numbers, which are decimals for it."""
    return lambda column, rng: change(column.astype(float), rng)


def written(text: Callable[[float], str]) -> Change:
    """The numbers that are known, written as text."""
    return lambda column, _: column.astype(object).where(column.isna(), column.map(text))


def some(column: pd.Series, rng: np.random.Generator, share: float) -> pd.Series:
    """True for a random share of the rows."""
    return pd.Series(rng.random(len(column)) < share, index=column.index)


def first_half(rows: pd.DataFrame | pd.Series) -> np.ndarray:
    """True for the first half of the rows."""
    return np.arange(len(rows)) < len(rows) / 2


NUMBERS: dict[str, Change] = {
    "another unit: times 1,000": decimals(lambda c, _: c * 1000),
    "another unit: a hundredth": decimals(lambda c, _: c / 100),
    "the sign turned": decimals(lambda c, _: -c),
    "a constant added": decimals(lambda c, _: c + c.std()),
    "decimal comma": written(lambda number: f"{number:.2f}".replace(".", ",")),
    "numbers as text": written("{:g}".format),
    "thousands separated": written(lambda number: f"{number * 1000:,.0f}"),
    "all missing": decimals(lambda c, _: c * np.nan),
    "a fifth missing": decimals(lambda c, rng: c.mask(some(c, rng, 0.2))),
    "missing as 'NA'": lambda c, rng: c.astype(object).mask(some(c, rng, 0.2), "NA"),
    "missing as -999": decimals(lambda c, rng: c.mask(some(c, rng, 0.2), -999.0)),
    "missing as 0": decimals(lambda c, rng: c.mask(some(c, rng, 0.3), 0.0)),
    "missing filled with the median": decimals(
        lambda c, rng: c.mask(some(c, rng, 0.3), c.median())
    ),
    "constant": lambda c, _: c * 0 + c.mode().iloc[0],
    "stuck at one value from the middle on": lambda c, _: c.where(
        first_half(c), c.iloc[len(c) // 2]
    ),
    "outliers: one row in fifty times a million": decimals(
        lambda c, rng: c.mask(some(c, rng, 0.02), (c + 1) * 1e6)
    ),
    "infinite in a few rows": decimals(lambda c, rng: c.mask(some(c, rng, 0.01), np.inf)),
    "cut off at the median": decimals(lambda c, _: c.clip(upper=c.median())),
    "noise of the column's own size": (
        lambda c, rng: c.astype(float) + rng.normal(0, float(c.std()), len(c))
    ),
    "rows of one column shuffled": lambda c, rng: pd.Series(
        rng.permutation(c.to_numpy()), index=c.index
    ),
    "one column shifted by a row": lambda c, _: c.shift(1, fill_value=c.iloc[-1]),
    "whole numbers as decimals": decimals(lambda c, _: c),
}
"""What happens to the strongest column of numbers."""
TEXTS: dict[str, Change] = {
    "a new category": lambda c, rng: c.mask(some(c, rng, 0.2), "never seen"),
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
    "mixed time zones": lambda c, rng: c.mask(some(c, rng, 0.5), c + pd.Timedelta(hours=8)),
    "dates as text": lambda c, _: c.dt.strftime("%d.%m.%Y %H:%M"),
}
"""What happens to the strongest column of times."""


def renamed(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """The strongest input under another name."""
    name = columns.strongest
    return frame.rename(columns={name: f"{name}_v2"}) if name else None


def missing(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """The strongest input gone."""
    return frame.drop(columns=columns.strongest) if columns.strongest else None


def swapped(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """The two strongest columns of numbers, each under the other's name."""
    if len(columns.numbers) < 2:
        return None
    one, two = columns.numbers[:2]
    return frame.assign(**{one: frame[two], two: frame[one]})


def slipped(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """A separator too many: in a tenth of the rows every number stands one column further."""
    names = [str(c) for c in frame if c in columns.numbers]
    if len(columns.numbers) < 2:
        return None
    part = np.arange(len(frame)) % 10 == 0
    moved = frame[names].astype(float)
    moved.loc[part] = np.roll(moved.loc[part], 1, axis=1)
    return frame.assign(**moved)


def garbled(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """UTF-8 read as Latin-1 in the first column with letters beyond ASCII."""
    for name in columns.texts:
        wrong = frame[name].map(
            lambda text: text.encode().decode("latin-1") if isinstance(text, str) else text
        )
        if not wrong.equals(frame[name]):
            return frame.assign(**{name: wrong})
    return None


def torn(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """The last row lacks the cells of its second half."""
    names = [str(c) for c in frame if c in columns.numbers]
    if len(names) < 2:
        return None
    second = frame[names[len(names) // 2 :]].astype(float)
    second.iloc[-1] = np.nan
    return frame.assign(**second)


def resorted(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame:
    """Sorted by the strongest input, or turned round."""
    name = columns.strongest
    rows = frame.sort_values(name, kind="stable") if name else frame.iloc[::-1]
    return rows.reset_index(drop=True)


def selected(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """A filter somebody forgot: only rows above the median of the strongest number."""
    if not columns.numbers:
        return None
    numbers = frame[columns.numbers[0]].astype(float)
    rows = frame[numbers >= numbers.median()]
    return rows.reset_index(drop=True) if 10 < len(rows) < len(frame) else None


def stale(frame: pd.DataFrame, columns: Columns, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of the past come again under new keys."""
    size, past, seed = len(frame), columns.past, int(rng.integers(1 << 30))
    old = past.sample(size, replace=len(past) < size, random_state=seed).reset_index(drop=True)
    return old.assign(**{columns.unit: frame[columns.unit].to_numpy()})


def flipped(frame: pd.DataFrame, columns: Columns, rng: np.random.Generator) -> pd.DataFrame:
    """The outcomes of a third of the rows belong to other rows."""
    label = frame[columns.target].copy()
    rows = np.flatnonzero(rng.random(len(frame)) < 1 / 3)
    label.iloc[rows] = label.to_numpy()[rng.permutation(rows)]
    return frame.assign(**{columns.target: label})


def late(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame:
    """Outcomes of the last half of the rows are not in yet: the usual or least one stands there."""
    label = frame[columns.target]
    usual = label.mode().iloc[0] if label.nunique() <= 50 else label.min()
    return frame.assign(**{columns.target: label.where(first_half(frame), usual)})


CORRUPTIONS: dict[str, Corruption] = {
    **{way: on_strongest(lambda c: c.numbers, change) for way, change in NUMBERS.items()},
    "a column renamed": renamed,
    "a column missing": missing,
    "a column added": lambda f, _, rng: f.assign(comment=rng.normal(size=len(f))),
    "columns in another order": lambda f, _, rng: f[list(map(str, rng.permutation(f.columns)))],
    "two columns swapped": swapped,
    "cells slipped by one column": slipped,
    **{way: on_strongest(lambda c: c.texts, change) for way, change in TEXTS.items()},
    "UTF-8 read as Latin-1": garbled,
    **{way: on_strongest(lambda c: c.times, change) for way, change in TIMES.items()},
    "a tenth of the rows twice": lambda f, *_: pd.concat(
        [f, f.iloc[: max(1, len(f) // 10)]], ignore_index=True
    ),
    "joined twice": lambda f, *_: pd.concat([f, f], ignore_index=True),
    "file cut off in the middle": lambda f, *_: f.iloc[: max(1, len(f) // 2)].reset_index(
        drop=True
    ),
    "last row cut off in the middle": torn,
    "rows in another order": resorted,
    "only some of the customers": selected,
    "a stale copy": stale,
    "labels flipped": flipped,
    "labels late": late,
}
"""By what is said of them."""


Score = Callable[[pd.DataFrame], np.ndarray]
Decide = Callable[[pd.DataFrame, np.ndarray], np.ndarray]
Check = Callable[[pd.DataFrame, np.ndarray | None], dict[str, str]]
"""What a check says of rows and their scores (None where there are none), by what it says it of."""


def columns_of(types: dict[str, str], unit: str, target: str, past: pd.DataFrame) -> Columns:
    """The columns to work on from their types as a contract names them, the strongest first."""
    numbers, texts, times = (
        [name for name, kind in types.items() if kind in wanted]
        for wanted in (("integer", "number"), ("text",), ("time",))
    )
    return Columns(numbers, texts, times, unit, target, past)


def matrix(
    rows: pd.DataFrame,
    columns: Columns,
    score: Score,
    decide: Decide,
    checks: Mapping[str, Check],
    seed: int,
) -> pd.DataFrame:
    """For each way that data breaks: verdict, share of decisions that change, what each check says.

    The verdict names the first check that tells, or says harmless or missed. What a check says of
    sound rows too does not count.
    """
    sound = decisions(rows, columns.unit, score, decide)[1]
    false: dict[str, dict[str, str]] = {check: {} for check in checks}
    table = []
    for way, corrupt in {NOTHING: lambda frame, *_: frame, **CORRUPTIONS}.items():
        broken = corrupt(rows, columns, np.random.default_rng(seed))
        if broken is None:
            continue
        scores, actions = decisions(broken, columns.unit, score, decide)
        alarms = {check: ask(broken, scores) for check, ask in checks.items()}
        own = {check: in_words(alarms[check], false[check]) for check in checks}
        changed = share_changed(sound, actions)
        unseen = "missed" if changed else "harmless"
        verdict = next((check for check in checks if own[check]), unseen)
        found = {f"by {check}": words for check, words in own.items()}
        table.append({"way": way, "verdict": verdict, "decisions changed": changed, **found})
        false = alarms if way == NOTHING else false
    return pd.DataFrame(table).set_index("way")


def in_words(alarms: dict[str, str], false: dict[str, str]) -> str:
    """The first alarm that sound rows do not raise, and how many more there are; "" for none."""
    own = [f"{name}: {how}" if how else name for name, how in alarms.items() if name not in false]
    more = f" (and {len(own) - 1} more)" if len(own) > 1 else ""
    return f"{own[0]}{more}" if own else ""


def decisions(
    rows: pd.DataFrame, unit: str, score: Score, decide: Decide
) -> tuple[np.ndarray | None, pd.Series | None]:
    """Scores and, by unit, actions; None for rows that cannot be scored."""
    try:
        scores = np.asarray(score(rows))
        return scores, pd.Series(decide(rows, scores), index=rows[unit].to_numpy())
    except Exception:  # whatever a model says to rows that it was not made for
        return None, None


def share_changed(sound: pd.Series | None, actions: pd.Series | None) -> float:
    """The share of the sound rows' decisions that are changed, doubled or lost."""
    if sound is None or actions is None:
        return 1.0
    once = actions[~actions.index.duplicated(keep=False)].reindex(sound.index)
    if pd.api.types.is_numeric_dtype(sound):
        same = np.isclose(once.astype(float), sound.astype(float))
    else:
        same = (once == sound).to_numpy()
    return float(1 - same.mean())
