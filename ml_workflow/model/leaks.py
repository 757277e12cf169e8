"""The check of columns that give the target away, each named with a figure and a sentence."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import homogeneity_score

from ..data.joins import inputs
from ..decision.kinds import Array, Kind

MARKED = 0.8
"""Share of the target's entropy that one word or one gap may remove."""


class Leak(NamedTuple):
    """A column that gives the target away, how much of it (0 to 1), and why that is suspect."""

    column: str
    figure: float
    why: str


Leaks = Iterator[Leak]


def leaking_columns(kind: Kind, development: pd.DataFrame, strengths: pd.Series) -> pd.DataFrame:
    """Columns that give the target away, each once: column, figure (0 to 1) and why.

    `strengths`: share of the constant guess's loss that each column removes alone.
    """
    table, private = inputs(kind.task, development), kind.task.private
    target = kind.encode(kind.outcomes(development))
    leaks = [
        *too_good(kind, strengths),
        *numbering(table, strengths),
        *told_in_text(kind, table, target, private),
        *kind.choose(known_afterwards, summed)(table, target),
        *determined(kind, table, target),
    ]
    table_of_leaks = pd.DataFrame(leaks, columns=list(Leak._fields))
    return table_of_leaks.drop_duplicates("column", ignore_index=True)


def too_good(kind: Kind, strengths: pd.Series) -> Leaks:
    """Columns that alone remove nearly all loss, or most of it and the next one not half that."""
    sure, likely = kind.choose((0.97, 0.85), (0.995, 0.97))
    shares = strengths.sort_values(ascending=False)
    second = float(shares.iloc[1]) if len(shares) > 1 else 0.0
    for name, share in shares.items():
        if share > sure or (share > likely and second < share / 2):
            why = f"alone removes {share:.1%} of the loss: too good to be known in time"
            yield Leak(str(name), float(share), why)


def numbering(table: pd.DataFrame, strengths: pd.Series) -> Leaks:
    """Identifiers among the inputs that predict.

    These are whole numbers that never repeat, without gaps or named like a key.
    """
    for name, column in table.items():
        share = float(strengths.get(name, 0.0))
        unique = pd.api.types.is_integer_dtype(column) and column.is_unique and len(column) > 20
        if not unique or share <= 0.1:
            continue
        dense = int(column.max()) - int(column.min()) < 2 * len(column)
        if dense or re.search(r"(^|_)(id|key|no|number|index)$", str(name).lower()):
            why = (
                f"is an identifier, and yet alone removes {share:.1%} of the loss: "
                "rows were numbered in the order of the answer"
            )
            yield Leak(str(name), share, why)


def determined(kind: Kind, table: pd.DataFrame, target: Array) -> Leaks:
    """Columns whose value says the target's: the other rows with the same value tell each row."""
    share_left, least = kind.choose((error_left, 0.002), (variance_left, 0.0005))
    for name, column in table.items():
        group = pd.factorize(column, use_na_sentinel=False)[0]
        counts = np.bincount(group)
        repeats = counts[group] > 1
        if len(counts) < 2 or repeats.mean() < 0.5:
            continue
        share = 1 - share_left(group[repeats], target[repeats])
        if 1 - share < least:
            why = f"its value tells the target in {share:.1%} of what there is to tell"
            yield Leak(str(name), share, why)


def variance_left(group: Array, target: Array) -> float:
    """Share of the variance left when each row is told by the mean of its group's others."""
    sums, counts = np.bincount(group, target), np.bincount(group)
    others = (sums[group] - target) / np.maximum(counts[group] - 1, 1)
    return float(((target - others) ** 2).sum() / variation(target))


def error_left(group: Array, target: Array) -> float:
    """Share of the errors left when each row is told by its group's most frequent other class."""
    index, labels = pd.factorize(target)
    counts = np.zeros((group.max() + 1, len(labels)))
    np.add.at(counts, (group, index), 1)
    others = counts[group]
    others[np.arange(len(group)), index] -= 1
    usual = 1 - np.bincount(index).max() / len(index)
    return float((others.argmax(axis=1) != index).mean() / max(usual, 1e-12))


def variation(target: Array) -> float:
    """The sum of squares about the mean; never zero."""
    return max(float(((target - target.mean()) ** 2).sum()), 1e-12)


def summed(table: pd.DataFrame, target: Array) -> Leaks:
    """Columns of numbers that add up to the target, with plus or minus signs, by least squares."""
    numbers = table.select_dtypes("number").astype(float)
    if numbers.shape[1] < 1 or len(numbers) <= 2 * numbers.shape[1]:
        return
    filled = np.column_stack([numbers.fillna(numbers.median()).fillna(0), np.ones(len(numbers))])
    scale = np.maximum(np.abs(filled).max(axis=0), 1e-12)
    weights = np.linalg.lstsq(filled / scale, target, rcond=1e-10)[0] / scale
    explained = float(1 - ((target - filled @ weights) ** 2).sum() / variation(target))
    terms = {str(c): w for c, w in zip(numbers, weights, strict=False) if abs(abs(w) - 1) < 0.01}
    if explained >= 0.9999:
        total = " ".join(f"{'+' if w > 0 else '-'} {name}" for name, w in terms.items())
        for name in terms:
            yield Leak(name, explained, f"{total.removeprefix('+ ')} add up to the target")


def known_afterwards(table: pd.DataFrame, target: Array) -> Leaks:
    """Columns that are filled for some outcomes only, so that the gap tells the outcome."""
    for name, column in table.items():
        share = entropy_removed(column.isna().to_numpy(), target)
        if share > MARKED:
            why = (
                "is filled for one outcome and missing for the other "
                f"({share:.1%} of what there is to tell): known only afterwards"
            )
            yield Leak(str(name), share, why)


def told_in_text(kind: Kind, table: pd.DataFrame, target: Array, private: list[str]) -> Leaks:
    """Texts with a word that tells the outcome, or for numbers with the target written out."""
    search: Callable[..., tuple[str, float]] = kind.choose(telling_word, written_out)
    for name in table.select_dtypes(["object", "string"]):
        known = table[name].notna().to_numpy()
        texts = table[name][known].astype(str)
        if texts.nunique() < 20:
            continue
        word, share = search(texts, target[known])
        if share > MARKED:
            shown = "" if name in private else f" ({word!r})"
            yield Leak(str(name), share, f"one word in it{shown} tells {share:.1%} of the target")


def telling_word(texts: pd.Series, target: Array) -> tuple[str, float]:
    """The word whose presence removes the most of the target's entropy, and the share of it."""
    from sklearn.feature_extraction.text import CountVectorizer

    least = max(5, len(texts) // 100)
    try:
        words = CountVectorizer(binary=True, min_df=least, max_features=2000, token_pattern=r"\w+")
        present = words.fit_transform(texts).tocsc()
    except ValueError:  # no word stands in enough rows
        return "", 0.0
    shares = [entropy_removed(column.toarray().ravel() > 0, target) for column in present.T]
    best = int(np.argmax(shares))
    return str(words.get_feature_names_out()[best]), shares[best]


def written_out(texts: pd.Series, target: Array) -> tuple[str, float]:
    """Share of rows in whose text the target stands; of few numbers it may by chance."""
    if len(np.unique(target)) < 20:
        return "", 0.0
    hits = [
        bool(re.search(rf"(?<![\d.]){re.escape(f'{number:g}')}(?![\d])", text))
        for text, number in zip(texts, target, strict=True)
    ]
    return "the target itself", float(np.mean(hits))


def entropy_removed(flag: Array, target: Array) -> float:
    """Share of the target's entropy that a yes-or-no removes, 0 to 1 (Shannon 1948)."""
    several = len(np.unique(target)) > 1
    return float(homogeneity_score(target, flag)) if several else 0.0
