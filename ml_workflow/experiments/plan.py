"""The plan of an A/B test: units and days until the promised effect shows."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..decision.amounts import volume
from ..decision.kinds import kind_of
from ..errors import Refusal
from ..statistics.checks import Floats
from ..statistics.effects import effect_of
from ..statistics.power import Design, detectable_effect, power_for_mean, size_for_mean
from ..statistics.sums import sums_of
from ..statistics.tails import units_for_tails
from ..task.definition import Task

CURRENT, RELEASE = "current", "release"
ARMS = (CURRENT, RELEASE)
DAY = 86_400.0  # seconds
SHARES = (0.1, 0.25, 0.5)  # of the traffic in the new arm, to choose among


@dataclass(frozen=True)
class Plan:
    """What is settled before the first unit comes; what an older plan does not say has its default.

    Amounts are in the task's currency, a decision.
    """

    metric: str = ""  # what is measured, in words that change when the task's values do
    looks: int = 1  # planned looks at the effect
    sides: int | None = None  # 2: better or worse; 1: better only; None: as the task says
    share: float = 0.5  # of the units that the release decides
    known_after_days: float = 0.0  # until an outcome is known
    effect: float = 0.0  # promised gain, less the cost of running
    deviation: float = 0.0  # of a unit's worth
    variance_left: float = 1.0  # share of the variance that the covariate leaves (CUPED)
    units: int | None = None  # in both arms; None where no number of them would show an effect
    days: int | None = None  # until these units have their outcomes

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Plan":
        """The plan as `as_json` gave it, or an older one that says less; its hash is left out."""
        names = cls.__dataclass_fields__.keys() & content.keys()
        return cls(**{name: content[name] for name in names})

    def as_json(self) -> dict[str, Any]:
        """The plan as decision.json keeps it."""
        return asdict(self)

    def bound_to(self, salts: Mapping[str, str], weights: Mapping[str, float]) -> dict[str, Any]:
        """The plan as an experiment keeps it: with a hash of the salts and weights it is for."""
        content = self.as_json()
        return content | {"hash": plan_hash(content, salts, weights)}

    @property
    def design(self) -> Design:
        """The design that the plan's units follow from."""
        return Design(self.sides or 2, self.share, self.looks, self.variance_left)

    def power(self, units: ArrayLike) -> Floats:
        """Power, shape of units, to see the promised effect with so many units in both arms."""
        if self.units is None:
            return np.zeros(np.shape(units))
        return power_for_mean(units, self.effect, self.deviation, self.design)


def weights_of(share: float) -> dict[str, float]:
    """The share of units by arm, of which the release gets `share`; Refusal if an arm has none."""
    if not 0 < share < 1:
        raise Refusal(
            f"The share is {share}: give the release's part of the units, above 0 and below 1."
        )
    return {CURRENT: 1 - share, RELEASE: share}


def plan_hash(
    content: Mapping[str, Any], salts: Mapping[str, str], weights: Mapping[str, float]
) -> str:
    """SHA-256 of a plan as JSON, whatever keys it has, with the salts and weights it is for."""
    plain = {key: value for key, value in content.items() if key != "hash"}
    return sha256(json.dumps([plain, salts, weights], sort_keys=True).encode()).hexdigest()


def read_plan(path: Path) -> Plan:
    """The plan in a JSON file, alone or within 05's decision.json; Refusal where it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Refusal(f"The plan {path} cannot be read as JSON: {reason}.") from None
    if not isinstance(content, dict):
        raise Refusal(f"The plan {path} is no JSON object: give files/decision.json of a run.")
    return Plan.from_json(content.get("plan", content))


def worth_on_holdout(task: Task, holdout: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """What decisions on the holdout were worth, a row each, in the currency; from scores.parquet.

    Columns: current and release, what each process's decision earned; expected, what the release
    expected of it, which is known before the decision and the same in both arms.
    """
    own = scores.filter(regex="^release_score")
    has_classes = own.shape[1] > 1
    classes = own.columns.str.removeprefix("release_score_") if has_classes else scores["outcome"]
    own_scores = own.to_numpy(float) if has_classes else own.to_numpy(float)[:, 0]
    expected = kind_of(task, classes).expected_value(holdout, own_scores)
    return pd.DataFrame(
        {arm: scores[f"{arm}_value"].to_numpy(float) for arm in ARMS} | {"expected": expected}
    )


def plan_experiment(task: Task, worth: pd.DataFrame, share: float) -> Plan:
    """The plan that shows the effect the holdout promises, over the cost of running.

    `worth` is that of `worth_on_holdout`; `share` of the units are the release's. Where the effect
    is skewed, there are at least as many units as bounds need to hold.
    """
    weights = weights_of(share)
    before, after, expected = (worth[name].to_numpy(float) for name in (*ARMS, "expected"))
    cost = task.value.run_cost_per_month / volume(task)
    effect = float(after.mean() - before.mean()) - cost
    deviation = float(np.sqrt(before.var() * share + after.var() * weights[CURRENT]))
    variance_left = 1.0
    if deviation:
        sums = [sums_of(values, covariate=expected) for values in (before, after)]
        variance_left = float(np.clip(effect_of(*sums).variance_ratio, 0.01, 1))
    delay = task.target.delay / DAY
    plan = Plan(
        metric=metric_name(task),
        looks=task.abtest.looks,
        sides=task.abtest.sides,
        share=share,
        known_after_days=delay,
        effect=effect,
        deviation=deviation,
        variance_left=variance_left,
    )
    if effect == 0 or deviation == 0:
        return plan
    size = size_for_mean(effect, deviation, plan.design)
    units = max(size, units_for_tails(before, after, share))
    return replace(plan, units=units, days=int(np.ceil(units / (volume(task) / 30) + delay)))


def compare_shares(task: Task, worth: pd.DataFrame) -> pd.DataFrame:
    """For each of SHARES of the traffic in the new arm: units, days, and what a month would show.

    Columns: units and days of the plan, and the smallest effect that a month of traffic shows.
    """
    plans = [plan_experiment(task, worth, share) for share in SHARES]
    table = pd.DataFrame(plans).set_index("share")[["units", "days"]].rename_axis("new arm")
    least = [detectable_effect(volume(task), plan.deviation, plan.design) for plan in plans]
    return table.assign(**{"smallest effect in a month": least})


def metric_name(task: Task) -> str:
    """What is measured, in words that change when the task's values do."""
    stated = {"act", "leave", "matrix", "over", "under"}
    worth = task.value.model_dump(include=stated, exclude_none=True, mode="json")
    return f"worth of a decision in {task.value.currency}: {worth}"
