"""Ways in which real data breaks, each a function from rows as they should be to rows as they come."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Columns:
    """What a corruption may work on: inputs by kind, the strongest first, the keys, and rows of the past."""

    numbers: list[str]
    texts: list[str]
    times: list[str]
    unit: str
    target: str
    past: pd.DataFrame


NOTHING = "nothing: the rows as they are"
Corruption = Callable[[pd.DataFrame, Columns, np.random.Generator], pd.DataFrame | None]
"""Gives None where the table has nothing that could break so."""
CORRUPTIONS: dict[str, Corruption] = {}
"""By what is said of them."""


def breaks(name: str) -> Callable[[Corruption], Corruption]:
    """Enter a function under its name."""

    def enter(function: Corruption) -> Corruption:
        CORRUPTIONS[name] = function
        return function

    return enter


def on_number(name: str, change: Callable[[pd.Series, np.random.Generator], pd.Series]) -> None:
    """A way that breaks the strongest column of numbers."""

    def broken(
        frame: pd.DataFrame, columns: Columns, rng: np.random.Generator
    ) -> pd.DataFrame | None:
        if not columns.numbers:
            return None
        first = columns.numbers[0]
        return frame.assign(**{first: change(frame[first], rng)})

    CORRUPTIONS[name] = broken


def some(column: pd.Series, rng: np.random.Generator, share: float) -> pd.Series:
    """True for a random share of the rows."""
    return pd.Series(rng.random(len(column)) < share, index=column.index)


on_number("another unit: times 1,000", lambda c, _: c.astype(float) * 1000)
on_number("another unit: a hundredth", lambda c, _: c.astype(float) / 100)
on_number("the sign turned", lambda c, _: -c.astype(float))
on_number("a constant added", lambda c, _: c.astype(float) + c.astype(float).std())
on_number(
    "decimal comma",
    lambda c, _: c.astype(object).where(c.isna(), c.map("{:.2f}".format).str.replace(".", ",")),
)
on_number("numbers as text", lambda c, _: c.astype(object).where(c.isna(), c.map("{:g}".format)))
on_number(
    "thousands separated",
    lambda c, _: c.astype(object).where(c.isna(), (c * 1000).map("{:,.0f}".format)),
)
on_number("all missing", lambda c, _: c.astype(float) * np.nan)
on_number("a fifth missing", lambda c, rng: c.astype(float).mask(some(c, rng, 0.2)))
on_number("missing as 'NA'", lambda c, rng: c.astype(object).mask(some(c, rng, 0.2), "NA"))
on_number("missing as -999", lambda c, rng: c.astype(float).mask(some(c, rng, 0.2), -999.0))
on_number("missing as 0", lambda c, rng: c.astype(float).mask(some(c, rng, 0.3), 0.0))
on_number(
    "missing filled with the median",
    lambda c, rng: c.astype(float).mask(some(c, rng, 0.3), float(c.median())),
)
on_number("constant", lambda c, _: c * 0 + c.mode().iloc[0])
on_number(
    "stuck at one value from the middle on",
    lambda c, _: c.where(np.arange(len(c)) < len(c) / 2, c.iloc[len(c) // 2]),
)
on_number(
    "outliers: one row in fifty times a million",
    lambda c, rng: c.astype(float).mask(some(c, rng, 0.02), (c.astype(float) + 1) * 1e6),
)
on_number("infinite in a few rows", lambda c, rng: c.astype(float).mask(some(c, rng, 0.01), np.inf))
on_number("cut off at the median", lambda c, _: c.astype(float).clip(upper=float(c.median())))
on_number(
    "noise of the column's own size",
    lambda c, rng: c.astype(float) + rng.normal(0, float(c.std()), len(c)),
)
on_number(
    "rows of one column shuffled",
    lambda c, rng: pd.Series(rng.permutation(c.to_numpy()), index=c.index),
)
on_number("one column shifted by a row", lambda c, _: c.shift(1, fill_value=c.iloc[-1]))
on_number("whole numbers as decimals", lambda c, _: c.astype(float))


@breaks("a column renamed")
def renamed(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """The strongest input under another name."""
    names = columns.numbers + columns.texts
    return frame.rename(columns={names[0]: f"{names[0]}_v2"}) if names else None


@breaks("a column missing")
def missing(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """The strongest input gone."""
    names = columns.numbers + columns.texts
    return frame.drop(columns=names[0]) if names else None


@breaks("a column added")
def added(frame: pd.DataFrame, _: Columns, rng: np.random.Generator) -> pd.DataFrame:
    """A column that nobody asked for."""
    return frame.assign(comment=rng.normal(size=len(frame)))


@breaks("columns in another order")
def reordered(frame: pd.DataFrame, _: Columns, rng: np.random.Generator) -> pd.DataFrame:
    """The same columns, shuffled."""
    return frame[[str(name) for name in rng.permutation(list(frame.columns))]]


@breaks("two columns swapped")
def swapped(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """The two strongest columns of numbers, each under the other's name."""
    if len(columns.numbers) < 2:
        return None
    one, two = columns.numbers[:2]
    return frame.assign(**{one: frame[two], two: frame[one]})


@breaks("cells slipped by one column")
def slipped(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """A separator too many: in a tenth of the rows every number stands one column further."""
    if len(columns.numbers) < 2:
        return None
    names = [c for c in frame.columns if c in columns.numbers]
    part = np.arange(len(frame)) % 10 == 0
    moved = frame[names].astype(float)
    moved.loc[part] = np.roll(moved.loc[part].to_numpy(), 1, axis=1)
    return frame.assign(**{name: moved[name] for name in names})


@breaks("a new category")
def new_category(
    frame: pd.DataFrame, columns: Columns, rng: np.random.Generator
) -> pd.DataFrame | None:
    """A value never seen in a fifth of the rows of the strongest text."""
    return (
        frame.assign(
            **{
                columns.texts[0]: frame[columns.texts[0]].mask(
                    some(frame[columns.texts[0]], rng, 0.2), "never seen"
                )
            }
        )
        if columns.texts
        else None
    )


@breaks("categories in capitals")
def capitals(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """Somebody has tidied up the spelling."""
    return (
        frame.assign(**{columns.texts[0]: frame[columns.texts[0]].str.upper()})
        if columns.texts
        else None
    )


@breaks("spaces around text")
def spaces(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """An export of fixed width."""
    return (
        frame.assign(**{columns.texts[0]: " " + frame[columns.texts[0]] + "  "})
        if columns.texts
        else None
    )


@breaks("UTF-8 read as Latin-1")
def garbled(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """What becomes of text with letters beyond ASCII."""
    for name in columns.texts:
        wrong = frame[name].map(
            lambda text: text.encode().decode("latin-1") if isinstance(text, str) else text
        )
        if not wrong.equals(frame[name]):
            return frame.assign(**{name: wrong})
    return None


@breaks("dates a year off")
def year_off(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """A wrong century digit, or a copy of last year's file."""
    return (
        frame.assign(**{columns.times[0]: frame[columns.times[0]] - pd.Timedelta(days=365)})
        if columns.times
        else None
    )


@breaks("day and month swapped")
def day_and_month(
    frame: pd.DataFrame, columns: Columns, _: np.random.Generator
) -> pd.DataFrame | None:
    """3/4 read as 4/3, where the day can be a month."""
    if not columns.times:
        return None
    turned = frame[columns.times[0]].map(
        lambda t: t.replace(day=t.month, month=t.day) if pd.notna(t) and t.day <= 12 else t
    )
    return frame.assign(**{columns.times[0]: turned})


@breaks("mixed time zones")
def time_zones(
    frame: pd.DataFrame, columns: Columns, rng: np.random.Generator
) -> pd.DataFrame | None:
    """Half the rows are written in local time, eight hours off."""
    if not columns.times:
        return None
    return frame.assign(
        **{
            columns.times[0]: frame[columns.times[0]].mask(
                some(frame[columns.times[0]], rng, 0.5),
                frame[columns.times[0]] + pd.Timedelta(hours=8),
            )
        }
    )


@breaks("dates as text")
def dates_as_text(
    frame: pd.DataFrame, columns: Columns, _: np.random.Generator
) -> pd.DataFrame | None:
    """Dates as somebody's spreadsheet wrote them."""
    return (
        frame.assign(**{columns.times[0]: frame[columns.times[0]].dt.strftime("%d.%m.%Y %H:%M")})
        if columns.times
        else None
    )


@breaks("a tenth of the rows twice")
def duplicated(frame: pd.DataFrame, _: Columns, __: np.random.Generator) -> pd.DataFrame:
    """A batch that was sent again."""
    return pd.concat([frame, frame.iloc[: max(1, len(frame) // 10)]], ignore_index=True)


@breaks("joined twice")
def joined_twice(frame: pd.DataFrame, _: Columns, __: np.random.Generator) -> pd.DataFrame:
    """Each row once more, as after a join on a key that is none."""
    return pd.concat([frame, frame], ignore_index=True)


@breaks("file cut off in the middle")
def cut_off(frame: pd.DataFrame, _: Columns, __: np.random.Generator) -> pd.DataFrame:
    """The first half of the rows."""
    return frame.iloc[: max(1, len(frame) // 2)].reset_index(drop=True)


@breaks("last row cut off in the middle")
def torn(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """The last row lacks the cells of its second half."""
    names = [c for c in frame.columns if c in columns.numbers]
    if len(names) < 2:
        return None
    late = frame[names[len(names) // 2 :]].astype(float)
    late.iloc[-1] = np.nan
    return frame.assign(**{str(name): late[name] for name in late})


@breaks("rows in another order")
def resorted(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame:
    """Sorted by the strongest input."""
    names = columns.numbers + columns.texts
    return (
        frame.sort_values(names[0], kind="stable").reset_index(drop=True)
        if names
        else frame.iloc[::-1].reset_index(drop=True)
    )


@breaks("only some of the customers")
def selected(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame | None:
    """A filter somebody forgot: rows above the median of the strongest input, as many as usual."""
    if not columns.numbers:
        return None
    first = frame[columns.numbers[0]].astype(float)
    kept = frame[first >= first.median()]
    return kept.reset_index(drop=True) if 10 < len(kept) < len(frame) else None


@breaks("a stale copy")
def stale(frame: pd.DataFrame, columns: Columns, rng: np.random.Generator) -> pd.DataFrame:
    """Rows of the past come again under new keys."""
    old = columns.past.sample(
        len(frame), replace=len(columns.past) < len(frame), random_state=int(rng.integers(1 << 30))
    ).reset_index(drop=True)
    return old.assign(**{columns.unit: frame[columns.unit].to_numpy()})


@breaks("labels flipped")
def flipped(frame: pd.DataFrame, columns: Columns, rng: np.random.Generator) -> pd.DataFrame:
    """The outcomes of a third of the rows belong to other rows."""
    label = frame[columns.target].copy()
    rows = np.flatnonzero(rng.random(len(frame)) < 1 / 3)
    label.iloc[rows] = label.to_numpy()[rng.permutation(rows)]
    return frame.assign(**{columns.target: label})


@breaks("labels late")
def late(frame: pd.DataFrame, columns: Columns, _: np.random.Generator) -> pd.DataFrame:
    """The rarest outcomes (of numbers: the upper half) of the last half of the rows are not in yet and read as the usual one."""
    label = frame[columns.target]
    usual = label.mode().iloc[0] if label.nunique() <= 50 else label.min()
    last = pd.Series(np.arange(len(frame)) >= len(frame) / 2, index=frame.index)
    return frame.assign(**{columns.target: label.mask(last, usual)})


Score = Callable[[pd.DataFrame], np.ndarray]
Decide = Callable[[pd.DataFrame, np.ndarray], np.ndarray]
Check = Callable[[pd.DataFrame, np.ndarray | None], dict[str, str]]
"""What a check says of rows and their scores (None where they cannot be scored), by what it says it of."""


def columns_of(kinds: dict[str, str], unit: str, target: str, past: pd.DataFrame) -> Columns:
    """The columns to work on from their types (integer, number, text, time), the strongest first."""
    numbers, texts, times = (
        [c for c, kind in kinds.items() if kind in wanted]
        for wanted in (("integer", "number"), ("text",), ("time",))
    )
    return Columns(numbers, texts, times, unit, target, past)


def matrix(
    rows: pd.DataFrame,
    columns: Columns,
    score: Score,
    decide: Decide,
    checks: dict[str, Check],
    seed: int,
) -> pd.DataFrame:
    """For each way that data breaks: the share of decisions that change, what each check says, and the verdict.

    The verdict names the first check that tells, or says harmless or missed. What a check says of sound rows too does
    not count.
    """
    sound = decisions(rows, columns.unit, score, decide)[1]
    false: dict[str, set[str]] = {check: set() for check in checks}
    found = []
    for way, corrupt in {NOTHING: lambda frame, *_: frame, **CORRUPTIONS}.items():
        broken = corrupt(rows, columns, np.random.default_rng(seed))
        if broken is None:
            continue
        scores, taken = decisions(broken, columns.unit, score, decide)
        changed = changes(sound, taken)
        said = {check: ask(broken, scores) for check, ask in checks.items()}
        verdict = next(
            (check for check in checks if set(said[check]) - false[check]),
            "missed" if changed else "harmless",
        )
        found.append(
            {
                "way": way,
                "verdict": verdict,
                "decisions changed": changed,
                **{f"by {check}": first_of(said[check], false[check]) for check in checks},
            }
        )
        false = false if way != NOTHING else {check: set(said[check]) for check in checks}
    return pd.DataFrame(found).set_index("way")


def decisions(
    rows: pd.DataFrame, unit: str, score: Score, decide: Decide
) -> tuple[np.ndarray | None, pd.Series | None]:
    """Scores and, by unit, actions; None for rows that cannot be scored."""
    try:
        scores = np.asarray(score(rows))
        return scores, pd.Series(decide(rows, scores), index=rows[unit].to_numpy())
    except Exception:  # whatever a model says to rows that it was not made for
        return None, None


def changes(sound: pd.Series | None, taken: pd.Series | None) -> float:
    """The share of the sound rows' decisions that are changed, doubled or lost."""
    if sound is None or taken is None:
        return 1.0
    once = taken[~taken.index.duplicated(keep=False)].reindex(sound.index)
    same = (
        np.isclose(once.astype(float), sound.astype(float))
        if pd.api.types.is_numeric_dtype(sound)
        else (once == sound).to_numpy()
    )
    return float(1 - same.mean())


def first_of(said: dict[str, str], false: set[str]) -> str:
    """The first of several findings that sound rows do not raise, and how many more there are."""
    own = [f"{name}: {how}" if how else name for name, how in said.items() if name not in false]
    return (own[0] + (f" (and {len(own) - 1} more)" if len(own) > 1 else "")) if own else ""
