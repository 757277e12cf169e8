"""What the values of decisions tell of their outcomes: some decisions hide what would have come."""

import numpy as np
import pandas as pd

from ..decision.kinds import Array, Kind


def values_by_class(kind: Kind, rows: pd.DataFrame, actions: Array) -> Array:
    """What each row's action earns for every class, shape (n, classes), in the currency.

    NaN where the action is none that the task knows.
    """
    known = np.isin(actions, kind.decisions)
    values = np.full((len(rows), len(kind.classes)), np.nan)
    if known.any():
        for index, outcome in enumerate(kind.decode(range(len(kind.classes)))):
            same = np.full(known.sum(), outcome)
            values[known, index] = kind.value(rows[known], actions[known], same)
    return values


def class_indices(
    kind: Kind, rows: pd.DataFrame, decisions: pd.DataFrame, all_apart: bool = False
) -> Array:
    """The index of the class that each decision's value gives away, shape (n,).

    Decisions have action and value. NaN where several classes or none would have earned it: a
    frozen card earns the same whatever the customer would have done. No number is given away.
    With `all_apart` NaN too where an action earns the same for two other classes: rows known for
    some outcomes alone would be chosen by what came of them.
    """
    possible = values_by_class(kind, rows, decisions["action"].to_numpy())
    values = decisions["value"].to_numpy(float)[:, None]
    fits = np.isclose(possible, values, rtol=1e-6, atol=1e-9)
    is_known = fits.sum(axis=1) == 1
    if all_apart:
        steps = np.diff(np.sort(possible, axis=1), axis=1)
        least = 1e-6 * np.abs(possible).max(axis=1, keepdims=True)
        is_known &= (steps > least).all(axis=1)
    return np.where(is_known, fits @ np.arange(len(kind.classes)), np.nan)
