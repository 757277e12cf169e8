"""Guardrails: metrics that a new process must not hurt, and whether that is shown."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ..statistics.multiplicity import holm
from ..task.definition import Guardrail
from .looks import Look, effect_within_phases
from .tally import Tally, sum_by_day, totals_in


class GuardrailResult(NamedTuple):
    """What is known of a guardrail at a look, in its metric's unit."""

    difference: float  # of the release from the current process
    worst: float  # difference that is still compatible
    margin: float  # loss that would be accepted
    held: bool  # shown to lose less than the margin
    broken: bool  # surely loses more
    p: float  # of no difference, for one look


def judge_guardrails(tally: Tally, last: Look | None) -> pd.DataFrame:
    """Each guardrail of the task at the bound of the last look, a row by its name.

    Columns are those of `GuardrailResult`, and p adjusted for several ones (Holm 1979; Benjamini &
    Hochberg 1995). Without a look nothing is held or broken.
    """
    critical = last.bound.critical if last else np.inf
    guardrails = tally.evidence.abtest.guardrails
    results = [
        judge_guardrail(sum_by_day(tally.evidence, tally.window, name), guardrail, critical)
        for name, guardrail in guardrails.items()
    ]
    index = pd.Index(guardrails, name="guardrail", dtype=object)
    table = pd.DataFrame(results, index, list(GuardrailResult._fields))
    if not results:
        return table
    rates = stats.false_discovery_control(table["p"])
    return table.assign(holm=holm(table["p"]), benjamini_hochberg=rates)


def judge_guardrail(sums: pd.DataFrame, guardrail: Guardrail, critical: float) -> GuardrailResult:
    """One guardrail's sums by arm, phase and day, judged at critical standard errors."""
    margin = guardrail.margin
    effect = effect_within_phases(sums)
    if effect is None:  # too few units, or the same for every unit of both arms
        current, release = totals_in(sums)
        is_same = min(current.units, release.units) >= 2 and current.value == release.value
        return GuardrailResult(0.0, 0.0, margin, is_same, False, 1.0)
    level = min(float(stats.norm.cdf(critical)), 1 - 1e-12)
    sign = 1 if guardrail.better == "higher" else -1
    gain = sign * effect.difference
    half = float(stats.t.ppf(level, effect.degrees_of_freedom)) * effect.standard_error
    return GuardrailResult(
        effect.difference,
        sign * (gain - half),
        margin,
        held=gain - half > -margin,
        broken=gain + half < -margin,
        p=effect.p_value,
    )
