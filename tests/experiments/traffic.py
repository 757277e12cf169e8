"""Units of an experiment: a frame with a row a decision, and what the API would have written."""

from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from ml_workflow.experiments.evidence import Evidence
from ml_workflow.experiments.health import check_sums
from ml_workflow.experiments.plan import DAY, Plan
from ml_workflow.experiments.tally import count_evidence
from ml_workflow.store.database import insert_frames
from ml_workflow.store.schema import metadata
from ml_workflow.task.definition import ABTest, Guardrail

START = 1_800_000_000.0 // DAY * DAY
NOW = START + 30 * DAY
NAME, SALTS = "blue-button", {"inclusion_salt": "a", "arm_salt": "b"}
WEIGHTS = {"current": 0.5, "release": 0.5}
ABTEST = ABTest(
    covariate="spend", guardrails={"action act": Guardrail(margin=1.0)}, segments=["side"]
)


def traffic(
    units: int = 2_000, *, rows: int = 1, effect: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """Units over ten days, each with one or several decisions whose outcome comes within three."""
    g = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), rows)
    exposed = START + np.sort(g.uniform(0, 10 * DAY, units))[unit]
    release, x = unit % 2 == 1, g.normal(50, 10, units)[unit]
    decided = exposed + np.tile(np.arange(rows), units) * 600.0
    frame = pd.DataFrame({"unit": unit, "phase": 1, "exposed": exposed, "decided": decided})
    frame["time"] = decided + g.uniform(0, 3 * DAY, len(frame))
    return frame.assign(
        unit="u" + frame["unit"].astype(str),
        arm=np.where(release, "release", "current"),
        value=0.7 * x + g.normal(0, 7, len(frame)) + effect * release,
        covariate=x,
        action=np.where(release, "act", "leave"),
        side=np.where(unit % 3, "left", "right"),
    )


def write(engine: sa.Engine, frame: pd.DataFrame, plan: Plan, **experiment: Any) -> None:
    """Write a frame as the API would have; rows whose value is missing have no outcome."""
    phases = [{"weights": WEIGHTS, "inclusion": 1.0}]
    bound = plan.bound_to(SALTS, WEIGHTS)
    about = {"id": NAME, **SALTS, "phases": phases, "plan": bound, **experiment}
    ids, row = [f"d{row}" for row in range(len(frame))], frame[["covariate", "side"]]
    frame = frame.assign(
        **dict.fromkeys(("id", "decision", "idempotency_key"), ids),
        **dict.fromkeys(("arm_assigned", "arm_served", "version"), frame["arm"]),
        **dict.fromkeys(("event_time", "arrival_time"), frame["time"]),
        experiment=about["id"],
        row=row.rename(columns={"covariate": "spend"}).to_dict("records"),
        score=frame["covariate"],
        propensity=1.0,
        fallback=False,
    )
    tables = {
        "experiments": pd.DataFrame([about]),
        "exposures": frame.drop_duplicates("unit").assign(time=frame["exposed"]),
        "decisions": frame.assign(time=frame["decided"]),
        "outcomes": frame.dropna(subset="value"),
    }
    for name, rows in tables.items():
        columns = rows.columns.intersection(metadata.tables[name].c.keys())
        if len(rows):
            insert_frames(engine, {name: rows[columns]})


def faults(evidence: Evidence, days: float = 7) -> dict[str, str]:
    """What the checks say that do not pass, outcomes being waited for so many days."""
    checks = check_sums(count_evidence(evidence, days * DAY))
    return {check.name: check.said for check in checks if not check.passed}
