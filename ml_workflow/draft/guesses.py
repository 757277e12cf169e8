"""A first task file from a table and its target: guesses with reasons, for a person to correct."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml
from pandas.api.types import (
    is_bool_dtype,
    is_datetime64_any_dtype,
    is_integer_dtype,
    is_numeric_dtype,
)

from ..data.tables import read_table
from ..errors import Refusal, nearest
from ..store.files import name_of, root, write_text
from ..task.definition import Task
from ..task.file import as_task

POSITIVE = ("1", "1.0", "true", "yes", "y", "t", "positive", "bad", "churned", "died", "fraud")
HEAD = """\
# Drafted from the table: correct what is guessed wrongly. Still to say: current_process (how it is
# decided today) and value (what a decision is worth); README.md shows how.
"""


class Guess(NamedTuple):
    """A value for a key of the task file, and why."""

    value: Any
    why: str


Guesses = dict[str, Guess]
"""By the key of the task file, or of its target."""


def guess(uri: str, target: str, query: str | None = None) -> Guesses:
    """Guesses for the keys of a task, by the table's content; a Refusal when it can be no task."""
    frame = read_table(uri, query)
    if target not in frame:
        hint, names = nearest(target, frame.columns), ", ".join(frame.columns[:20])
        raise Refusal(f"{uri} has no column {target!r}.{hint} It has {names}.")
    others = frame.drop(columns=target)
    unit, split = guess_unit(others, frame.columns[0]), guess_split(others)
    used = [unit.value, split.value.get("column")]
    exclude = guess_exclude(others.drop(columns=used, errors="ignore"))
    known = guess_target(frame[target].dropna())
    return {**known, "unit": unit, "split": split, "exclude": exclude}


def guess_target(column: pd.Series) -> Guesses:
    """The kind of target by its values, and of two values the positive one."""
    count = column.nunique()
    if count < 2:
        values = "1 value" if count else "0 values"
        raise Refusal(f"The target {column.name!r} has {values}: there is nothing to predict.")
    if count == 2:
        kind = Guess("binary", "the target has two values")
        return {"kind": kind, "positive": guess_positive(column)}
    is_number = is_numeric_dtype(column) and not is_bool_dtype(column)
    if is_number and (count > 10 or (column % 1 != 0).any()):
        return {"kind": Guess("regression", f"the target is a number with {count} values")}
    if count > 50:
        raise Refusal(
            f"The target {column.name!r} has {count} different texts: "
            "group them into at most 50 classes first."
        )
    return {"kind": Guess("multiclass", f"the target has {count} values")}


def guess_positive(column: pd.Series) -> Guess:
    """The label that the score is the probability of: one that means yes, else the rarer one."""
    shares = column.value_counts(normalize=True)
    yes = [label for label in shares.index if str(label).lower() in POSITIVE]
    label = [*yes, shares.index[-1]][0]
    place = "it means yes; it stands in" if yes else "the rarer value, in"
    plain = label.item() if hasattr(label, "item") else label
    return Guess(plain, f"{place} {shares[label]:.1%} of the rows")


def guess_unit(others: pd.DataFrame, first: str) -> Guess:
    """The key: a column that comes first or is named like one, whose values never repeat.

    Where there is none, the number of the row.
    """
    for name in others.columns:
        is_named = re.search(r"(^|_|\s)(id|key|uuid|no|number|code)$|Id$|ID$", name)
        if (is_named or name == first) and is_key(others[name]):
            return Guess(name, "its values never repeat")
    why = "no column is a key, so rows are numbered: give each row a lasting key when you can"
    return Guess("row", why)


def is_key(column: pd.Series) -> bool:
    """Whether whole numbers or texts stand in every row and never repeat."""
    may_name = is_integer_dtype(column) or not is_numeric_dtype(column)
    fills = column.notna().all() and column.is_unique
    return bool(may_name and fills and not is_datetime64_any_dtype(column))


def guess_split(others: pd.DataFrame) -> Guess:
    """By time where a date orders the rows, else at random."""
    for name, column in others.items():
        rises = is_datetime64_any_dtype(column) and column.is_monotonic_increasing
        if rises and column.notna().all() and column.nunique() > 20:
            return Guess({"by": "time", "column": name}, f"the rows are in the order of {name}")
    return Guess({"by": "random"}, "no date orders the rows")


def guess_exclude(others: pd.DataFrame) -> Guess:
    """Columns that can teach nothing: constant, empty, or a key beside the unit."""
    reasons = {}
    for name, column in others.items():
        if column.nunique() < 2:
            reasons[name] = "is empty" if column.isna().all() else "is constant"
        elif is_key(column) and re.search(r"(^|_)(id|key|uuid)$", str(name).lower()):
            reasons[name] = "is a key"
    reason = "; ".join(f"{name} {why}" for name, why in reasons.items())
    return Guess(list(reasons), reason or "no column is empty, constant or a second key")


def name_for(uri: str) -> str:
    """A task's name from the name of its table."""
    name = Path(uri.split("?")[0]).name
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", name.split(".")[0] or name)
    return stem.strip("-.") or "table"


def as_yaml(name: str, uri: str, target: str, query: str | None, guesses: Guesses) -> str:
    """The task file, each guess with its reason as a comment."""
    rows = {"query": query} if query else {}
    source = {"name": name, "uri": uri, **rows, "available": "at decision"}
    of_target = {key: guesses[key] for key in ("kind", "positive") if key in guesses}
    goal = {"column": target} | {key: guess.value for key, guess in of_target.items()}
    why = "; ".join(f"{key}: {guess.why}" for key, guess in of_target.items())
    parts = [
        ("", {"name": name, "question": f"What is {target.rstrip('? ')}?"}),
        (guesses["unit"].why, {"unit": guesses["unit"].value}),
        ("", {"sources": [source]}),
        (why, {"target": goal}),
        *((guesses[key].why, {key: guesses[key].value}) for key in ("split", "exclude")),
    ]
    text = HEAD
    for why, part in parts:
        comment = f"# {why}\n" if why else ""
        text += comment + yaml.safe_dump(part, sort_keys=False, allow_unicode=True, width=110)
    return text


def write_draft(uri: str, target: str, query: str | None = None) -> tuple[Path, Guesses, Task]:
    """Write tasks/<name>.yaml for a table; its path, the guesses, the task.

    Raises Refusal where there is one, which a person may have corrected.
    """
    path = Path(uri).expanduser()
    if "://" not in uri:
        uri = name_of(path if path.is_absolute() else root() / path)
    guesses, name = guess(uri, target, query), name_for(uri)
    text = as_yaml(name, uri, target, query, guesses)
    task, place = as_task(yaml.safe_load(text), f"{name}.yaml"), root() / "tasks" / f"{name}.yaml"
    if place.exists():
        raise Refusal(
            f"{name_of(place)} exists already: correct it and run `ml-workflow run {name}`, "
            "or remove it for a new draft."
        )
    return write_text(place, text), guesses, task
