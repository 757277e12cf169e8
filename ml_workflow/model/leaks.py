"""Columns that give the target away, each with its figure and a sentence; and parts that can be told apart."""

import re
from typing import Any

import numpy as np
import pandas as pd

from ..data.joins import inputs
from ..decision.kinds import Kind
from ..task.definition import Task
from .vectorizing import as_numbers


Findings = list[dict[str, Any]]
"""Each with `column`, `figure` (0 to 1) and `why`."""
MARKED = 0.8
"""Share of the target's entropy that one word or one gap may remove."""


def leaking_columns(kind: Kind, development: pd.DataFrame, strengths: pd.Series) -> pd.DataFrame:
    """Columns that give the target away, each once: column, figure (0 to 1) and why.

    `strengths`: share of the constant guess's loss that each column removes alone.
    """
    table, private = inputs(kind.task, development), kind.task.private
    target = kind.encode(kind.outcomes(development))
    found = [
        *too_good(kind, strengths),
        *numbering(table, strengths),
        *told_in_text(kind, table, target, private),
        *kind.choose(known_afterwards, summed)(table, target),
        *determined(kind, table, target),
    ]
    named = pd.DataFrame(found, columns=["column", "figure", "why"])
    return named.drop_duplicates("column", ignore_index=True)


def drift_between_parts(
    task: Task, development: pd.DataFrame, holdout: pd.DataFrame, seed: int
) -> tuple[float, str]:
    """How well rows of the two parts can be told apart (ROC AUC), and by which column most.

    Times count as drift only where nothing orders the rows.
    """
    rows = min(3000, len(development), 3 * len(holdout))
    parts = [(development, rows), (holdout, min(len(holdout), rows))]
    both = pd.concat([inputs(task, part.sample(size, random_state=seed)) for part, size in parts])
    if task.split.by == "time":
        times = [str(c) for c in both.select_dtypes(["datetime", "datetimetz"])]
        both = both.drop(columns=[*times, str(task.split.column)], errors="ignore")
    table = both.apply(as_numbers)
    return told_apart(table.iloc[:rows], table.iloc[rows:], seed)


def too_good(kind: Kind, strengths: pd.Series) -> Findings:
    """Columns that alone remove nearly all loss, or most of it while the next one removes not half as much.

    `strengths`: share of the constant guess's loss removed out of fold, by column.
    """
    sure, likely = kind.choose((0.97, 0.85), (0.995, 0.97))
    shares = strengths.sort_values(ascending=False)
    second = float(shares.iloc[1]) if len(shares) > 1 else 0.0
    return [
        {
            "column": str(name),
            "figure": float(share),
            "why": f"alone removes {share:.1%} of the loss: too good to be known in time",
        }
        for name, share in shares.items()
        if share > sure or (share > likely and second < share / 2)
    ]


def determined(kind: Kind, table: pd.DataFrame, target: np.ndarray) -> Findings:
    """Columns whose value says the target's: each row is told by the other rows with the same value, without an error."""
    found = []
    share_left, least = kind.choose((error_left, 0.002), (variance_left, 0.0005))
    for name, column in table.items():
        values = column.astype(object).where(column.notna(), "missing")
        group = pd.factorize(values)[0]
        counts = np.bincount(group)
        repeats = counts[group] > 1
        if len(counts) < 2 or repeats.mean() < 0.5:
            continue
        left = share_left(group[repeats], target[repeats])
        if left < least:
            found.append(
                {
                    "column": str(name),
                    "figure": 1 - left,
                    "why": f"its value tells the target in {1 - left:.1%} of what there is to tell",
                }
            )
    return found


def variance_left(group: np.ndarray, target: np.ndarray) -> float:
    """Share of the variance left when each row is told by the mean of the others of its group, (n,) both."""
    sums, counts = np.bincount(group, target), np.bincount(group)
    others = (sums[group] - target) / np.maximum(counts[group] - 1, 1)
    whole = ((target - target.mean()) ** 2).sum()
    return float(((target - others) ** 2).sum() / max(whole, 1e-12))


def error_left(group: np.ndarray, target: np.ndarray) -> float:
    """Share of the errors left when each row is told by the most frequent class of its group's others."""
    codes, labels = pd.factorize(target)
    table = np.zeros((group.max() + 1, len(labels)))
    np.add.at(table, (group, codes), 1)
    without = table[group]
    without[np.arange(len(group)), codes] -= 1
    usual = 1 - np.bincount(codes).max() / len(codes)
    return float((without.argmax(axis=1) != codes).mean() / max(usual, 1e-12))


def summed(table: pd.DataFrame, target: np.ndarray) -> Findings:
    """Columns of numbers that add up to the target, with plus or minus signs: least squares that leaves nothing over."""
    numbers = table.select_dtypes("number").astype(float)
    if numbers.shape[1] < 1 or len(numbers) <= 2 * numbers.shape[1]:
        return []
    filled = np.column_stack([numbers.fillna(numbers.median()).fillna(0), np.ones(len(numbers))])
    scale = np.maximum(np.abs(filled).max(axis=0), 1e-12)
    weights = np.linalg.lstsq(filled / scale, target, rcond=1e-10)[0] / scale
    explained = 1 - ((target - filled @ weights) ** 2).sum() / max(
        ((target - target.mean()) ** 2).sum(), 1e-12
    )
    parts = {str(c): w for c, w in zip(numbers, weights, strict=False) if abs(abs(w) - 1) < 0.01}
    if explained < 0.9999 or not parts:
        return []
    total = " ".join(f"{'+' if w > 0 else '-'} {name}" for name, w in parts.items()).removeprefix(
        "+ "
    )
    return [
        {"column": name, "figure": float(explained), "why": f"{total} add up to the target"}
        for name in parts
    ]


def known_afterwards(table: pd.DataFrame, target: np.ndarray) -> Findings:
    """Columns that are filled for some outcomes only, so that the gap tells the outcome: written down afterwards."""
    shares = {
        str(name): entropy_removed(column.isna().to_numpy(), target)
        for name, column in table.items()
        if column.isna().any()
    }
    return [
        {
            "column": name,
            "figure": share,
            "why": f"is filled for one outcome and missing for the other ({share:.1%} of what there is to tell): known only afterwards",
        }
        for name, share in shares.items()
        if share > MARKED
    ]


def told_in_text(
    kind: Kind, table: pd.DataFrame, target: np.ndarray, private: list[str]
) -> Findings:
    """Text columns with a word that tells the outcome, or for numbers with the target written out."""
    found = []
    for name in table.select_dtypes(["object", "string"]):
        texts = table[name].dropna().astype(str)
        if texts.nunique() < 20:
            continue
        told = target[table[name].notna().to_numpy()]
        word, share = kind.choose(telling_word, written_out)(texts, told)
        if share > MARKED:
            shown = "" if name in private else f" ({word!r})"
            found.append(
                {
                    "column": str(name),
                    "figure": share,
                    "why": f"one word in it{shown} tells {share:.1%} of the target",
                }
            )
    return found


def telling_word(texts: pd.Series, target: np.ndarray) -> tuple[str, float]:
    """The word whose presence removes the most of the target's entropy, and the share that it removes."""
    from sklearn.feature_extraction.text import CountVectorizer

    least = max(5, len(texts) // 100)
    try:
        words = CountVectorizer(binary=True, min_df=least, max_features=2000, token_pattern=r"\w+")
        present = words.fit_transform(texts).tocsc()
    except ValueError:  # no word stands in enough rows
        return "", 0.0
    shares = [
        entropy_removed(present[:, i].toarray().ravel() > 0, target)
        for i in range(present.shape[1])
    ]
    best = int(np.argmax(shares))
    return str(words.get_feature_names_out()[best]), shares[best]


def written_out(texts: pd.Series, target: np.ndarray) -> tuple[str, float]:
    """Share of rows in whose text the target stands as a number, where targets have enough values to not do so by chance."""
    if len(np.unique(target)) < 20:
        return "", 0.0
    hits = [
        bool(re.search(rf"(?<![\d.]){re.escape(f'{t:g}')}(?![\d])", text))
        for text, t in zip(texts, target, strict=True)
    ]
    return "the target itself", float(np.mean(hits))


def entropy_removed(flag: np.ndarray, target: np.ndarray) -> float:
    """Mutual information of a yes-or-no with the target as a share of the target's entropy, 0 to 1 (Shannon 1948)."""
    codes = pd.factorize(target)[0]
    whole = entropy(np.bincount(codes))
    parts = sum(
        part.mean() * entropy(np.bincount(codes[part])) for part in (flag, ~flag) if part.any()
    )
    return float((whole - parts) / whole) if whole > 0 else 0.0


def entropy(counts: np.ndarray) -> float:
    """Entropy of counts, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def numbering(table: pd.DataFrame, strengths: pd.Series) -> Findings:
    """Identifiers among the inputs that predict: numbers without gaps, or named like a key, that never repeat."""
    found = []
    for name, column in table.items():
        share = float(strengths.get(name, 0.0))
        if (
            pd.api.types.is_integer_dtype(column)
            and column.is_unique
            and len(column) > 20
            and share > 0.1
        ):
            dense = int(column.max()) - int(column.min()) < 2 * len(column)
            if dense or re.search(r"(^|_)(id|key|no|number|index)$", str(name).lower()):
                found.append(
                    {
                        "column": str(name),
                        "figure": share,
                        "why": f"is an identifier, and yet alone removes {share:.1%} of the loss: rows were numbered in the order of the answer",
                    }
                )
    return found


def told_apart(first: pd.DataFrame, second: pd.DataFrame, seed: int) -> tuple[float, str]:
    """Adversarial validation: ROC AUC of trees that tell rows of two tables of numbers apart, out of fold, and the column that helps most."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    both = pd.concat([first, second], ignore_index=True).astype(float)
    both = both.fillna(both.median()).fillna(0).clip(-1e30, 1e30)
    side = np.repeat([0, 1], [len(first), len(second)])
    if min(len(first), len(second)) < 10 or both.shape[1] == 0:
        return 0.5, ""
    trees = ExtraTreesClassifier(
        60, min_samples_leaf=10, class_weight="balanced", random_state=seed, n_jobs=1
    )
    chances = cross_val_predict(trees, both, side, cv=3, method="predict_proba")[:, 1]
    best = trees.fit(both, side).feature_importances_.argmax()
    return float(roc_auc_score(side, chances)), str(both.columns[best])
