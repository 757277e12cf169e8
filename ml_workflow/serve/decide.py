"""Deciding for units: by the experiment's arm, else the champion; written before the answer."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from ..experiments.lifecycle import arm_served, exposures
from ..experiments.plan import CURRENT, RELEASE
from ..store.committer import Committer
from ..store.database import Unavailable
from ..store.decisions import Decision, Exposure, Request
from .batching import Batcher
from .bodies import Item
from .model import Model
from .reload import Live, warn

RANDOM = Random()
ARMS = 1_000_000
"""Units whose arm is kept in memory; it never changes."""


@dataclass(frozen=True)
class Assignment:
    """An item with the model that scores it, the process that decides, its part in an experiment.

    In shadow the release scores and the current process decides; `fallback`: no model could score.
    """

    item: Item
    model: Model
    by: str
    experiment: str | None = None
    arm: str | None = None
    shadow: bool = False
    fallback: bool = False


class Decider:
    """Decides and writes; `explore` is the share of the release's decisions drawn at random."""

    def __init__(self, live: Live, explore: float, serve_unwritten: bool) -> None:
        self.live, self.explore, self.serve_unwritten = live, explore, serve_unwritten
        self.batcher = Batcher()
        self.arms: dict[tuple[str, str], str] = {}

    async def __call__(self, items: Sequence[Item], key: str, body: str) -> list[Decision]:
        """The decisions for these items, as they stand in the database.

        Raises Conflict, or Unavailable where nothing may be served unwritten.
        """
        try:
            decisions = await self._decisions(await self._assignments(items))
            return await asyncio.wrap_future(self._committer().keep(Request(decisions, key, body)))
        except Unavailable:
            if not self.serve_unwritten:
                raise
            model = self.live.model
            fallback = [Assignment(item, model, CURRENT, fallback=True) for item in items]
            unwritten = await self.batcher(self.decide, fallback)
            return [replace(decision, id="") for decision in unwritten]

    async def _decisions(self, assignments: Sequence[Assignment]) -> list[Decision]:
        """A decision for each; by the current process for all where the model cannot score."""
        try:
            return await self.batcher(self.decide, assignments)
        except Exception as error:  # whatever a model says to rows that it was not made for
            warn(
                f"The model cannot score a request of {len(assignments)} rows "
                f"({type(error).__name__}): the current process decides."
            )
            fallback = [
                replace(one, by=CURRENT, shadow=False, fallback=True) for one in assignments
            ]
            return await self.batcher(self.decide, fallback)

    def _committer(self) -> Committer:
        if self.live.committer is None:
            raise Unavailable(self.live.fault)
        return self.live.committer

    async def _assignments(self, items: Sequence[Item]) -> list[Assignment]:
        """Who decides for each item; outside an experiment the champion, or today's process."""
        experiment, model = self.live.experiment, self.live.model
        by = RELEASE if self.live.champion else CURRENT
        outside = [Assignment(item, model, by) for item in items]
        if experiment is None:
            return outside
        wanted = exposures(experiment, [item.unit for item in items], time.time())
        arms = await self._arms([exposure for exposure in wanted if exposure])
        candidate = self.live.challenger or model
        shadow = experiment.shadow and not experiment.killed

        def inside(item: Item, exposure: Exposure) -> Assignment:
            arm = arms[exposure[:2]]
            by = arm_served(experiment, arm)
            return Assignment(item, candidate, by, experiment.id, arm, shadow)

        return [
            inside(one.item, exposure) if exposure else one
            for one, exposure in zip(outside, wanted, strict=True)
        ]

    async def _arms(self, wanted: Sequence[Exposure]) -> dict[tuple[str, str], str]:
        """The arm that stands for each unit, by experiment and unit; new ones from the database."""
        new = [exposure for exposure in wanted if exposure[:2] not in self.arms]
        if new:
            standing = await asyncio.wrap_future(self._committer().expose(new))
            if len(self.arms) + len(new) > ARMS:
                self.arms.clear()
            self.arms |= {exposure[:2]: exposure.arm_assigned for exposure in standing}
        return {exposure[:2]: self.arms[exposure[:2]] for exposure in wanted}

    def decide(self, assignments: Sequence[Assignment]) -> list[Decision]:
        """A decision for each, model by model."""
        decisions: dict[int, Decision] = {}
        for model in {id(one.model): one.model for one in assignments}.values():
            places = [i for i, one in enumerate(assignments) if one.model is model]
            own = self._decide(model, [assignments[i] for i in places])
            decisions |= zip(places, own, strict=True)
        return [decisions[i] for i in range(len(assignments))]

    def _decide(self, model: Model, assignments: Sequence[Assignment]) -> list[Decision]:
        frame = model.rows.frame([one.item.row for one in assignments])
        scores = best = today = [None] * len(assignments)
        if any(one.by == RELEASE or one.shadow for one in assignments):
            scores, best = (array.tolist() for array in model.decide(frame))
        if any(one.by == CURRENT for one in assignments):
            today = np.asarray(model.release.current(frame)).tolist()
        return [
            self._decision(*parts) for parts in zip(assignments, scores, best, today, strict=True)
        ]

    def _decision(self, one: Assignment, score: Any, best: Any, today: Any) -> Decision:
        """What is written: without a score, or with one in shadow, the current process decided."""
        model, action, propensity = one.model, today, 1.0
        if one.by == RELEASE:
            action, propensity = explore(best, model.release.kind.decisions, self.explore)
        else:
            score = {"shadow": score} if one.shadow else None
        return Decision(
            unit=one.item.unit,
            row={field.name: one.item.row.get(field.name) for field in model.rows.fields},
            version=f"{model.task}/{model.version}",
            score=score,
            action=str(action),
            time=time.time(),
            experiment=one.experiment,
            arm=one.arm,
            propensity=propensity,
            fallback=one.fallback,
        )


def explore(
    best: Any, actions: Sequence[str], share: float, random: Random = RANDOM
) -> tuple[Any, float]:
    """The best action, or with probability `share` any of them; and the probability that this had.

    Where a number is decided there are no actions to draw from.
    """
    if not share or not actions:
        return best, 1.0
    action = random.choice(actions) if random.random() < share else best
    return action, share / len(actions) + (1 - share) * (action == best)


def answer(model: Model, decision: Decision) -> dict[str, Any]:
    """A decision as the API says it."""
    by_release = decision.score is not None and not isinstance(decision.score, dict)
    return {
        "id": decision.id or None,
        "unit": decision.unit,
        "decision": model.release.kind.choose(str, float)(decision.action),
        "by": RELEASE if by_release else CURRENT,
        "score": model.score_as_json(decision.score) if by_release else None,
        "version": decision.version.rpartition("/")[2],
        "experiment": decision.experiment,
        "arm": decision.arm,
        "propensity": decision.propensity,
        "fallback": decision.fallback,
    }
