"""A first task file from a table and the name of its target: every guess with its reason, for a person to correct."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from ..data.tables import read_table
from ..errors import Refusal, nearest
from ..store.files import name_of, root, write_text
from ..task.file import as_task
from ..task.definition import Task

POSITIVE = ("1", "1.0", "true", "yes", "y", "t", "positive", "bad", "churned", "died", "fraud")


class Guess(NamedTuple):
    """A value for a key of the task file, and why."""

    value: Any
    why: str


def draft(uri: str, target: str, query: str | None = None) -> dict[str, Guess]:
    """Guesses for the keys of a task, from the table's content; a Refusal when it can be no task."""
    frame = read_table(uri, query)
    if target not in frame:
        raise Refusal(
            f"{uri} has no column {target!r}.{nearest(target, frame.columns)} It has {', '.join(frame.columns[:20])}."
        )
    column = frame[target].dropna()
    kind = kind_of(column, target)
    guesses = {"kind": kind, "unit": unit_of(frame, target), "split": split_of(frame, target)}
    if kind.value == "binary":
        guesses["positive"] = positive_of(column)
    guesses["exclude"] = left_out(frame, target, guesses["unit"].value, guesses["split"].value)
    return guesses


def kind_of(column: pd.Series, target: str) -> Guess:
    """binary, multiclass or regression, by the values of the target."""
    distinct = column.nunique()
    if distinct < 2:
        raise Refusal(
            f"The target {target!r} has {distinct} value{'s' if distinct != 1 else ''}: there is nothing to predict."
        )
    if distinct == 2:
        return Guess("binary", "the target has two values")
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and (distinct > 10 or (column % 1 != 0).any()):
        return Guess("regression", f"the target is a number with {distinct} values")
    if distinct > 50:
        raise Refusal(
            f"The target {target!r} has {distinct} different texts: group them into at most 50 classes first."
        )
    return Guess("multiclass", f"the target has {distinct} values")


def positive_of(column: pd.Series) -> Guess:
    """The label that the score is the probability of: one that means yes, else the rarer one."""
    counts = column.value_counts()
    for label in counts.index:
        if str(label).lower() in POSITIVE:
            return Guess(
                plain(label),
                f"it means yes; it stands in {counts[label] / len(column):.1%} of the rows",
            )
    return Guess(
        plain(counts.index[-1]),
        f"the rarer value, in {counts.iloc[-1] / len(column):.1%} of the rows",
    )


def unit_of(frame: pd.DataFrame, target: str) -> Guess:
    """The key: a column named like one whose values never repeat, else the number of the row."""
    for name in frame.columns.drop(target):
        named = (
            re.search(r"(^|_|\s)(id|key|uuid|no|number|code)$|Id$|ID$", name)
            or name == frame.columns[0]
        )
        if named and is_key(frame[name]):
            return Guess(name, "its values never repeat")
    return Guess(
        "row", "no column is a key, so rows are numbered: give each row a lasting key when you can"
    )


def is_key(column: pd.Series) -> bool:
    """Whether whole numbers or texts stand in every row and never repeat."""
    whole = pd.api.types.is_integer_dtype(column) or not pd.api.types.is_numeric_dtype(column)
    return bool(
        whole
        and not pd.api.types.is_datetime64_any_dtype(column)
        and column.notna().all()
        and column.is_unique
    )


def split_of(frame: pd.DataFrame, target: str) -> Guess:
    """By time where a date orders the rows, else at random."""
    for name in frame.columns.drop(target):
        column = frame[name]
        if (
            pd.api.types.is_datetime64_any_dtype(column)
            and column.notna().all()
            and column.is_monotonic_increasing
            and column.nunique() > 20
        ):
            return Guess({"by": "time", "column": name}, f"the rows are in the order of {name}")
    return Guess({"by": "random"}, "no date orders the rows")


def left_out(frame: pd.DataFrame, target: str, unit: str, split: dict[str, str]) -> Guess:
    """Columns that can teach nothing: constant, empty, or a key beside the unit."""
    reasons = {}
    for name in frame.columns.drop(target):
        if name == unit or name == split.get("column"):
            continue
        if frame[name].nunique() < 2:
            reasons[name] = "is empty" if frame[name].isna().all() else "is constant"
        elif (
            is_key(frame[name])
            and not pd.api.types.is_float_dtype(frame[name])
            and re.search(r"(^|_)(id|key|uuid)$", name.lower())
        ):
            reasons[name] = "is a key"
    return Guess(
        list(reasons),
        "; ".join(f"{name} {why}" for name, why in reasons.items())
        or "no column is empty, constant or a second key",
    )


def plain(label: Any) -> Any:
    """A label as YAML writes it."""
    return label.item() if hasattr(label, "item") else label


def name_for(uri: str) -> str:
    """A task's name from the name of its table."""
    stem = re.sub(
        r"[^A-Za-z0-9_.-]+", "-", Path(uri.split("?")[0]).name.split(".")[0] or Path(uri).name
    ).strip("-.")
    return stem or "table"


def as_yaml(name: str, uri: str, target: str, query: str | None, guesses: dict[str, Guess]) -> str:
    """The task file, each guess with its reason as a comment."""
    source = {
        "name": name,
        "uri": uri,
        **({"query": query} if query else {}),
        "available": "at decision",
    }
    goal = {"column": target, "kind": guesses["kind"].value} | (
        {"positive": guesses["positive"].value} if "positive" in guesses else {}
    )
    parts = [
        (None, {"name": name, "question": f"What is {target.rstrip('? ')}?"}),
        (guesses["unit"].why, {"unit": guesses["unit"].value}),
        (None, {"sources": [source]}),
        (
            f"kind: {guesses['kind'].why}"
            + (f"; positive: {guesses['positive'].why}" if "positive" in guesses else ""),
            {"target": goal},
        ),
        (guesses["split"].why, {"split": guesses["split"].value}),
        (guesses["exclude"].why, {"exclude": guesses["exclude"].value}),
    ]
    said = "# Drafted from the table: correct what is guessed wrongly. Still to say: current_process (how it is decided today)\n# and value (what a decision is worth); README.md shows how.\n"
    return said + "".join(
        (f"# {why}\n" if why else "")
        + yaml.safe_dump(part, sort_keys=False, allow_unicode=True, width=110)
        for why, part in parts
    )


def write_draft(
    uri: str, target: str, query: str | None = None
) -> tuple[Path, dict[str, Guess], Task]:
    """Write tasks/<name>.yaml for a table, or leave the one that a person may have corrected; its path, the guesses, the task."""
    path = Path(uri).expanduser()
    if "://" not in uri:
        uri = name_of(path if path.is_absolute() else root() / path)
    guesses, name = draft(uri, target, query), name_for(uri)
    text = as_yaml(name, uri, target, query, guesses)
    task, place = as_task(yaml.safe_load(text), f"{name}.yaml"), root() / "tasks" / f"{name}.yaml"
    if place.exists():
        raise Refusal(
            f"{name_of(place)} exists already: correct it and run `ml-workflow run {name}`, or remove it for a new draft."
        )
    return write_text(place, text), guesses, task
