"""Whom an effect is for: the few segments that a task names beforehand, compared."""

import pandas as pd

from ..statistics.effects import heterogeneity
from .looks import effect_within_phases
from .tally import Tally, sum_by_day

FIGURES = ("units", "difference", "lower", "upper")


def compare_segments(tally: Tally) -> pd.DataFrame:
    """The effect in each level of each segment of the task, with its 95 % bounds, a row each.

    Columns: segment, level, units, difference, lower, upper, and the p-value that the effect is the
    same in all levels (Cochran 1954).
    """
    rows = []
    for segment in tally.evidence.abtest.segments:
        sums = sum_by_day(tally.evidence, tally.window, segment=segment)
        levels = {str(level): effect_within_phases(part) for level, part in sums.groupby(segment)}
        effects = {level: effect for level, effect in levels.items() if effect}
        p = heterogeneity(list(effects.values())) if len(effects) > 1 else float("nan")
        for level, effect in effects.items():
            figures = [getattr(effect, name) for name in FIGURES]
            rows.append((segment, level, *figures, p))
    return pd.DataFrame(rows, columns=["segment", "level", *FIGURES, "p of the same effect"])
