"""Deciding for units: as the experiment's arm says, else as the champion does; written down before it is answered."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

import numpy as np

from ..experiments.lifecycle import CURRENT, RELEASE, exposures, served
from ..store.committer import Committer
from ..store.database import Unavailable
from ..store.decisions import Decision, Exposure, Request
from .batching import Groups
from .model import Model
from .reload import LOG, Live
from .rows import Row

LUCK = Random()
EXPOSED = 1_000_000
"""Units whose arm is kept in memory; it never changes."""


class Item(NamedTuple):
    """A unit to decide for, and its row."""

    unit: str
    row: Row


@dataclass(frozen=True)
class Asked:
    """An item with the model that scores it, the process that decides, and its part in an experiment."""

    item: Item
    model: Model
    by: str
    experiment: str | None = None
    arm: str | None = None
    shadow: bool = False
    failed: bool = False


class Deciding:
    """Decides and writes; `explore` is the share of the release's decisions that are drawn at random."""

    def __init__(
        self, live: Live, groups: Groups, explore: float = 0.0, serve_unwritten: bool = False
    ) -> None:
        self.live, self.groups, self.explore, self.serve_unwritten = (
            live,
            groups,
            explore,
            serve_unwritten,
        )
        self.arms: dict[tuple[str, str], str] = {}

    async def __call__(self, items: Sequence[Item], key: str, body: str) -> list[Decision]:
        """The decisions for these items, as they stand in the database; raises Conflict, or Unavailable where nothing may be served unwritten."""
        try:
            asked = await self._asked(items)
            made = await self._made(asked)
            return await asyncio.wrap_future(self._committer().keep(Request(made, key, body)))
        except Unavailable:
            if not self.serve_unwritten:
                raise
            model = self.live.model
            made = await self.groups(
                self.decided, [Asked(item, model, CURRENT, failed=True) for item in items]
            )
            return [replace(decision, id="") for decision in made]

    async def _made(self, asked: Sequence[Asked]) -> list[Decision]:
        """A decision for each; where the model cannot score a request's rows the current process decides, at once for all of them, and they say so."""
        try:
            return await self.groups(self.decided, asked)
        except Exception as error:  # whatever a model says to rows that it was not made for
            LOG.warning(
                json.dumps(
                    {
                        "fault": f"The model cannot score a request of {len(asked)} rows ({type(error).__name__}): the current process decides."
                    }
                )
            )
            return await self.groups(
                self.decided, [replace(one, by=CURRENT, shadow=False, failed=True) for one in asked]
            )

    def _committer(self) -> Committer:
        if self.live.committer is None:
            raise Unavailable(self.live.fault)
        return self.live.committer

    async def _asked(self, items: Sequence[Item]) -> list[Asked]:
        """Who decides for each item: outside an experiment the champion, or the current process while there is none."""
        experiment, champion, model = self.live.experiment, self.live.champion, self.live.model
        outside = [Asked(item, model, RELEASE if champion else CURRENT) for item in items]
        if experiment is None:
            return outside
        wanted = exposures(experiment, [item.unit for item in items], time.time())
        arms = await self._arms([exposure for exposure in wanted if exposure])
        tried = self.live.challenger or model
        return [
            Asked(
                one.item,
                tried,
                served(experiment, arm := arms[exposure[:2]]),
                experiment.id,
                arm,
                experiment.shadow and not experiment.killed,
            )
            if exposure
            else one
            for one, exposure in zip(outside, wanted, strict=True)
        ]

    async def _arms(self, wanted: Sequence[Exposure]) -> dict[tuple[str, str], str]:
        """The arm that stands for each unit, by experiment and unit; what is not known yet is asked of the database."""
        new = [exposure for exposure in wanted if exposure[:2] not in self.arms]
        if new:
            stood = await asyncio.wrap_future(self._committer().expose(new))
            if len(self.arms) + len(new) > EXPOSED:
                self.arms.clear()
            self.arms |= {one[:2]: one.arm_assigned for one in stood}
        return {one[:2]: self.arms[one[:2]] for one in wanted}

    def decided(self, asked: Sequence[Asked]) -> list[Decision]:
        """A decision for each, by model."""
        models = {id(one.model): one.model for one in asked}
        found: dict[int, Decision] = {}
        for number, model in models.items():
            places = [i for i, one in enumerate(asked) if id(one.model) == number]
            found |= dict(
                zip(places, self._decided(model, [asked[i] for i in places]), strict=True)
            )
        return [found[i] for i in range(len(asked))]

    def _decided(self, model: Model, asked: Sequence[Asked]) -> list[Decision]:
        raw = model.frame([one.item.row for one in asked])
        scores = greedy = today = [None] * len(asked)
        if any(one.by == RELEASE or one.shadow for one in asked):
            scores, greedy = (array.tolist() for array in model.decided(raw))
        if any(one.by == CURRENT for one in asked):
            today = np.asarray(model.release.current(raw)).tolist()
        return [self._decision(*parts) for parts in zip(asked, scores, greedy, today, strict=True)]

    def _decision(self, one: Asked, score: Any, best: Any, today: Any) -> Decision:
        """What is written: without a score, or with one in shadow, the current process decided."""
        model = one.model
        action, propensity = (
            (today, 1.0) if one.by == CURRENT else explored(best, model.actions, self.explore)
        )
        kept = score if one.by == RELEASE else {"shadow": score} if one.shadow else None
        row = {c.name: one.item.row.get(c.name) for c in model.columns}
        return Decision(
            one.item.unit,
            row,
            f"{model.name}/{model.version}",
            kept,
            str(action),
            time.time(),
            one.experiment,
            one.arm,
            propensity,
            one.failed,
        )


def explored(
    best: Any, actions: Sequence[str], share: float, chance: Random = LUCK
) -> tuple[Any, float]:
    """The best action, or with chance `share` any of them; and the chance that this one had."""
    if not share or not actions:
        return best, 1.0
    action = chance.choice(actions) if chance.random() < share else best
    return action, share / len(actions) + (1 - share) * (action == best)


def answer(model: Model, decision: Decision) -> dict[str, Any]:
    """A decision as the API says it."""
    score, shadow = decision.score, isinstance(decision.score, dict)
    current = score is None or shadow
    return {
        "id": decision.id or None,
        "unit": decision.unit,
        "decision": decision.action if model.actions else float(decision.action),
        "by": CURRENT if current else RELEASE,
        "score": None if current else model.told(score),
        "version": decision.version.rpartition("/")[2],
        "experiment": decision.experiment,
        "arm": decision.arm,
        "propensity": decision.propensity,
        "fallback": decision.fallback,
    }
