"""The evidence of an experiment judged: health, looks, guardrails, segments."""

from typing import Any

import numpy as np
import pandas as pd

from ..decision.money import volume
from ..statistics.effects import heterogeneity
from ..statistics.multiplicity import benjamini_hochberg, holm
from ..task.definition import Task
from .evidence import Evidence, departures, open_evidence, summed
from .health import Check, Facts, checkup
from .looks import Look, effect_in, guard, looks_in
from .plan import known_after, metric_of


def opened(
    task: Task, where: str, experiment: str, mapping: str, share: float, replayed: float
) -> Evidence:
    "The evidence: that of a replay up to its end, or what is given, with all that the task asks of it."
    extra: dict[str, Any] = (
        {"covariate": "expected worth", "now": replayed}
        if replayed
        else {
            "covariate": task.abtest.covariate,
            "metrics": task.abtest.guardrails,
            "segments": task.abtest.segments,
        }
    )
    return open_evidence(where, experiment=experiment, mapping=mapping, share=share, **extra)


def health(
    task: Task,
    proof: Evidence,
    summary: pd.DataFrame,
    arrivals: pd.DataFrame,
    window: float,
    covariate: bool,
    aa: bool = False,
) -> list[Check]:
    "All checks: those of the sums, then whether the experiment still is the one that was planned."
    facts = Facts(
        proof.name,
        [phase["weights"] for phase in proof.phases],
        window,
        proof.now,
        proof.strays,
        proof.doubled,
        proof.crossed,
        covariate,
        proof.final or known_after(task) > 0,
    )
    fault, note = departures(proof, metric_of(task), aa)
    size, units = proof.plan.get("units") or 0, summary["units"].sum()
    over = (
        f"Experiment {proof.name}: {units:,.0f} units are more than the {size:,} planned, the bounds are now those of a sequence."
        if size and units > size
        else ""
    )
    return [
        *checkup(summary, facts, arrivals),
        Check("as planned", not fault, fault or " ".join(filter(None, (note, over)))),
    ]


def looked(task: Task, proof: Evidence, summary: pd.DataFrame, checks: list[Check]) -> list[Look]:
    "The effect after each day with its bounds, unadjusted where the covariate did not pass."
    sound = {check.name: check.passed for check in checks}["covariate"]
    return looks_in(
        summary,
        planned=proof.plan.get("units"),
        expected=float(volume(task)),
        alpha=0.1 / proof.plan.get("sides", task.abtest.sides),
        adjust=sound,
    )


def guarded(task: Task, proof: Evidence, window: float, last: Look | None) -> pd.DataFrame:
    "Each guardrail: its difference, the worst that is compatible, its margin, and whether it held or is broken at this look."
    critical = last.bound.critical if last else np.inf
    found = {
        name: guard(
            summed(proof, window, name),
            rail.margin,
            critical,
            higher_is_better=rail.better == "higher",
        )
        for name, rail in task.abtest.guardrails.items()
        if name in proof.rows.c
    }
    table = pd.DataFrame(
        found, index=["difference", "worst", "margin", "held", "broken", "p"]
    ).T.rename_axis("guardrail")
    p = table["p"].astype(float)
    return table.assign(holm=holm(p), benjamini_hochberg=benjamini_hochberg(p)) if len(p) else table


def by_segment(task: Task, proof: Evidence, window: float) -> pd.DataFrame:
    "The effect in each level of each declared segment, and the p-value that it is the same in all of them."
    found = []
    for segment in [name for name in task.abtest.segments if name in proof.rows.c]:
        levels = {
            str(level): effect_in(part)
            for level, part in summed(proof, window, segment=segment).groupby(segment)
        }
        seen = {level: effect for level, effect in levels.items() if effect}
        p = heterogeneity(list(seen.values())) if len(seen) > 1 else float("nan")
        found += [
            {
                "segment": segment,
                "level": level,
                "units": e.units,
                "difference": e.difference,
                "lower": e.lower,
                "upper": e.upper,
                "p of the same effect": p,
            }
            for level, e in seen.items()
        ]
    return pd.DataFrame(found)
