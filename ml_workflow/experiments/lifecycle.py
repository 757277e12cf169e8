"""Running an experiment: who is in, which arm is served, and what a change of it means for the evidence."""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..errors import Refusal
from ..statistics.assignment import assign
from ..store import experiments as stored
from ..store.decisions import Exposure
from ..store.experiments import Experiment
from .evidence import bound

CURRENT, RELEASE = "current", "release"


def start(
    engine: sa.Engine,
    name: str,
    task: str,
    share: float,
    inclusion: float,
    shadow: bool,
    plan: dict[str, Any],
) -> Experiment:
    """A new experiment with two salts of its own; `share` of the included units get the release."""
    first = phase(share, inclusion, str(plan.get("metric", "value")))
    salts = {"inclusion_salt": secrets.token_hex(16), "arm_salt": secrets.token_hex(16)}
    new = Experiment(
        name,
        task,
        salts["inclusion_salt"],
        salts["arm_salt"],
        [first],
        bound(plan, salts, first["weights"]) if plan else {},
        shadow,
    )
    stored.add(engine, new)
    return new


def read_plan(path: Path) -> dict[str, Any]:
    """The plan in a JSON file, alone or within 05's decision.json; raises Refusal in a sentence."""
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refusal(
            f"The plan {path} cannot be read as JSON: {getattr(error, 'strerror', None) or error}."
        ) from None
    if not isinstance(plan, dict):
        raise Refusal(f"The plan {path} is no JSON object: give files/decision.json of a run.")
    return dict(plan.get("plan", plan))


def phase(share: float, inclusion: float, metric: str) -> dict[str, Any]:
    """A phase that begins now; raises Refusal for shares that leave an arm empty."""
    if not 0 < share < 1:
        raise Refusal(
            f"The share is {share}: give the release's part of the units, above 0 and below 1."
        )
    if not 0 <= inclusion <= 1:
        raise Refusal(
            f"The inclusion is {inclusion}: give the part of all units that takes part, from 0 to 1."
        )
    now = time.time()
    return {
        "start": now,
        "weights": {CURRENT: 1 - share, RELEASE: share},
        "inclusion": inclusion,
        "metric": metric,
        "ramps": [[now, inclusion]],
    }


def ramp(
    engine: sa.Engine,
    name: str,
    inclusion: float | None = None,
    share: float | None = None,
    metric: str | None = None,
) -> tuple[Experiment, bool]:
    """Let more units in; another share or metric begins a new phase, which is told. Salts never change."""
    changed = stored.change(engine, name, lambda old: ramped(old, inclusion, share, metric))
    return changed, len(changed.phases[-1]["ramps"]) == 1


def ramped(
    old: Experiment, inclusion: float | None, share: float | None, metric: str | None
) -> Experiment:
    """The experiment with more units let in, in its last phase if weights and metric stay, else in a new one."""
    last = old.phases[-1]
    if old.killed or old.ended:
        raise Refusal(
            f"The experiment {old.id!r} was {'ended' if old.ended else 'killed'}: start another under a new name."
        )
    wanted = phase(
        last["weights"][RELEASE] if share is None else share,
        last["inclusion"] if inclusion is None else inclusion,
        metric or last["metric"],
    )
    if wanted["inclusion"] < last["inclusion"]:
        raise Refusal(
            f"The inclusion of {old.id!r} is {last['inclusion']} and can only rise, for no unit leaves an experiment: kill it to stop serving the release."
        )
    if (
        abs(wanted["weights"][RELEASE] - last["weights"][RELEASE]) > 1e-9
        or wanted["metric"] != last["metric"]
    ):
        return replace(old, phases=[*old.phases, wanted])
    grown = last | {"inclusion": wanted["inclusion"], "ramps": last["ramps"] + wanted["ramps"]}
    return replace(old, phases=[*old.phases[:-1], grown])


def kill(engine: sa.Engine, name: str) -> Experiment:
    """From now on the current process is served to all; the arm assigned is recorded all the same."""
    return stored.change(
        engine, name, lambda old: old if old.killed else replace(old, killed=time.time())
    )


def end(engine: sa.Engine, name: str) -> Experiment:
    """No unit is exposed any more; from now on the champion decides."""
    return stored.change(
        engine, name, lambda old: old if old.ended else replace(old, ended=time.time())
    )


def exposures(experiment: Experiment, units: Sequence[str], now: float) -> list[Exposure | None]:
    """For each unit the exposure to ask `expose` for, or None for a unit that does not take part.

    `expose` answers with the arm that stands; what decides now is `served(experiment, exposure.arm_assigned)`.
    """
    last = experiment.phases[-1]
    arms = assign(
        units,
        inclusion_salt=experiment.inclusion_salt,
        arm_salt=experiment.arm_salt,
        inclusion=last["inclusion"],
        weights=last["weights"],
    )
    number = len(experiment.phases)
    return [
        None
        if arm is None
        else Exposure(experiment.id, unit, arm, served(experiment, arm), number, now)
        for unit, arm in zip(units, arms, strict=True)
    ]


def served(experiment: Experiment, arm: str) -> str:
    """The arm that decides for a unit of this arm: the current process if killed or in shadow."""
    return CURRENT if experiment.killed or experiment.shadow else arm
