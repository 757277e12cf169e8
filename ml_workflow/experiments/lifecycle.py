"""Running an experiment: who is in, which arm is served, what a change means for evidence."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from ..errors import Refusal
from ..statistics.assignment import assign
from ..store.decisions import Exposure
from ..store.experiments import Experiment, add_experiment, change_experiment
from .plan import CURRENT, RELEASE, Plan, weights_of


def start(
    engine: sa.Engine,
    name: str,
    task: str,
    share: float,
    inclusion: float,
    *,
    shadow: bool = False,
    plan: Plan | None = None,
) -> Experiment:
    """A new experiment with two salts of its own, to which its plan is bound.

    `share` of the units included get the release; `inclusion` is the part of all units that is
    included. In a shadow the release only scores. Raises Refusal for a name taken, or while another
    experiment of the task goes on.
    """
    first = _phase(share, inclusion, (plan and plan.metric) or "value")
    salts = {salt: secrets.token_hex(16) for salt in ("inclusion_salt", "arm_salt")}
    bound = plan.bound_to(salts, first["weights"]) if plan else {}
    new = Experiment(name, task, salts["inclusion_salt"], salts["arm_salt"], [first], bound, shadow)
    add_experiment(engine, new)
    return new


def ramp(
    engine: sa.Engine,
    name: str,
    inclusion: float | None = None,
    share: float | None = None,
    metric: str | None = None,
) -> tuple[Experiment, bool]:
    """Let more units in; another share or metric begins a new phase, and whether one was begun.

    Salts never change. Raises Refusal for a smaller inclusion, or an experiment that is over.
    """
    changed = change_experiment(engine, name, lambda old: _with_ramp(old, inclusion, share, metric))
    return changed, len(changed.phases[-1]["ramps"]) == 1


def kill(engine: sa.Engine, name: str) -> Experiment:
    """Serve the current process to all from now on; the arm assigned is recorded all the same."""
    now = time.time()
    return change_experiment(engine, name, lambda old: replace(old, killed=old.killed or now))


def end(engine: sa.Engine, name: str) -> Experiment:
    """Expose no unit any more; from now on the champion decides."""
    now = time.time()
    return change_experiment(engine, name, lambda old: replace(old, ended=old.ended or now))


def exposures(experiment: Experiment, units: Sequence[str], now: float) -> list[Exposure | None]:
    """For each unit the exposure to write, or None for a unit that does not take part.

    Writing answers with the arm that stands; what decides now is `arm_served` for it.
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
        arm and Exposure(experiment.id, unit, arm, arm_served(experiment, arm), number, now)
        for unit, arm in zip(units, arms, strict=True)
    ]


def arm_served(experiment: Experiment, arm: str) -> str:
    """The arm that decides for a unit of this arm: the current process if killed or in shadow."""
    return CURRENT if experiment.killed or experiment.shadow else arm


def _phase(share: float, inclusion: float, metric: str) -> dict[str, Any]:
    """A phase that begins now, as the database keeps it; Refusal for shares that empty an arm."""
    weights = weights_of(share)
    if not 0 <= inclusion <= 1:
        raise Refusal(
            f"The inclusion is {inclusion}: give the part of all units that takes part, "
            "from 0 to 1."
        )
    now = time.time()
    return {
        "start": now,
        "weights": weights,
        "inclusion": inclusion,
        "metric": metric,
        "ramps": [[now, inclusion]],
    }


def _with_ramp(
    old: Experiment, inclusion: float | None, share: float | None, metric: str | None
) -> Experiment:
    """More units let in, in the last phase if weights and metric stay, else in a new one."""
    if old.killed or old.ended:
        raise Refusal(
            f"The experiment {old.id!r} was {'ended' if old.ended else 'killed'}: start another "
            "under a new name."
        )
    last = old.phases[-1]
    share_now, inclusion_now = last["weights"][RELEASE], last["inclusion"]
    inclusion = inclusion_now if inclusion is None else inclusion
    new = _phase(share_now if share is None else share, inclusion, metric or last["metric"])
    if inclusion < inclusion_now:
        raise Refusal(
            f"The inclusion of {old.id!r} is {inclusion_now} and can only rise, for no unit leaves "
            "an experiment: kill it to stop serving the release."
        )
    if new["weights"][RELEASE] != share_now or new["metric"] != last["metric"]:
        return replace(old, phases=[*old.phases, new])
    grown = last | {"inclusion": inclusion, "ramps": last["ramps"] + new["ramps"]}
    return replace(old, phases=[*old.phases[:-1], grown])
