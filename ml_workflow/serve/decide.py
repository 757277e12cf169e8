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
from ..store.batching import Batcher
from ..store.database import Unavailable
from ..store.decisions import Conflict, Decision, Exposure, Request
from .bodies import Item
from .model import Model
from .reload import Live, warn

RANDOM = Random()
SHADOW = "shadow"
"""The release scores and the current process decides."""
ARMS = 1_000_000
"""Units whose arm is kept in memory; it never changes."""


@dataclass(frozen=True)
class Assignment:
    """An item with the model that scores it, the process that decides, its part in an experiment.

    `fallback`: no model could score, or nothing be written.
    """

    item: Item
    model: Model
    by: str
    experiment: str | None = None
    arm: str | None = None
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
            (answer,) = await self.live.write([Request(decisions, key, body)])
        except Unavailable:
            if not self.serve_unwritten:
                raise
            model = self.live.model
            fallback = [Assignment(item, model, CURRENT, fallback=True) for item in items]
            return [replace(decision, id="") for decision in await self._decided(fallback)]
        if isinstance(answer, Conflict):
            raise answer
        return list(answer)

    async def _decisions(self, assignments: Sequence[Assignment]) -> list[Decision]:
        """A decision for each; by the current process for all where the model cannot score."""
        try:
            return await self._decided(assignments)
        except Exception as error:  # whatever a model says to rows that it was not made for
            warn(
                f"The model cannot score a request of {len(assignments)} rows "
                f"({type(error).__name__}): the current process decides."
            )
            return await self._decided(
                [replace(one, by=CURRENT, fallback=True) for one in assignments]
            )

    async def _decided(self, assignments: Sequence[Assignment]) -> list[Decision]:
        return await asyncio.wrap_future(self.batcher(self.decide, assignments))

    async def _assignments(self, items: Sequence[Item]) -> list[Assignment]:
        """Who decides for each item; outside an experiment the champion, or today's process."""
        experiment, model = self.live.experiment, self.live.model
        usual = RELEASE if self.live.champion else CURRENT
        if experiment is None:
            return [Assignment(item, model, usual) for item in items]
        wanted = exposures(experiment, [item.unit for item in items], time.time())
        arms = await self._arms([exposure for exposure in wanted if exposure])
        candidate = self.live.challenger or model
        is_shadow = experiment.shadow and not experiment.killed

        def assigned(item: Item, exposure: Exposure | None) -> Assignment:
            if exposure is None:
                return Assignment(item, model, usual)
            arm = arms[exposure[:2]]
            by = SHADOW if is_shadow else arm_served(experiment, arm)
            return Assignment(item, candidate, by, experiment.id, arm)

        return list(map(assigned, items, wanted))

    async def _arms(self, wanted: Sequence[Exposure]) -> dict[tuple[str, str], str]:
        """The arm that stands for each unit, by experiment and unit; new ones from the database."""
        by_unit = {exposure[:2]: exposure for exposure in wanted}
        arms = {unit: self.arms[unit] for unit in by_unit if unit in self.arms}
        if new := [by_unit[unit] for unit in by_unit if unit not in arms]:
            standing = await self.live.write(new)
            if len(self.arms) + len(new) > ARMS:
                self.arms.clear()
            arms |= {exposure[:2]: exposure.arm_assigned for exposure in standing}
            self.arms |= arms
        return arms

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
        processes = {one.by for one in assignments}
        if processes & {RELEASE, SHADOW}:
            scores, best = (array.tolist() for array in model.decide(frame))
        if processes & {CURRENT, SHADOW}:
            today = np.asarray(model.release.current(frame)).tolist()
        return list(map(self._decision, assignments, scores, best, today))

    def _decision(self, one: Assignment, score: Any, best: Any, today: Any) -> Decision:
        """What is written: without a score, or with one in shadow, the current process decided."""
        model, action, propensity = one.model, today, 1.0
        if one.by == RELEASE:
            action, propensity = explore(best, model.release.kind.decisions, self.explore)
        return Decision(
            unit=one.item.unit,
            row={field.name: one.item.row.get(field.name) for field in model.rows.fields},
            version=f"{model.task}/{model.version}",
            score={RELEASE: score, SHADOW: {"shadow": score}}.get(one.by),
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
    return {
        "id": decision.id or None,
        "unit": decision.unit,
        "decision": model.release.kind.choose(str, float)(decision.action),
        "by": RELEASE if decision.by_release else CURRENT,
        "score": model.score_as_json(decision.score) if decision.by_release else None,
        "version": decision.version.rpartition("/")[2],
        "experiment": decision.experiment,
        "arm": decision.arm,
        "propensity": decision.propensity,
        "fallback": decision.fallback,
    }
