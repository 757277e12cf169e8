"""The experiments of the decisions database: their salts, phases and plan, and what was counted in each."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from ..errors import Refusal, nearest
from .database import reading, writing
from .schema import decisions, experiments, exposures, outcomes, strays


@dataclass(frozen=True)
class Experiment:
    """Who takes part, in which arm. The first of `phases` is phase 1; times are seconds since 1970.

    A phase: start, weights (share by arm), inclusion (share of all units), metric, ramps (list of [time, inclusion]).
    """

    id: str
    task: str
    inclusion_salt: str
    arm_salt: str
    phases: list[dict[str, Any]]
    plan: dict[str, Any]
    shadow: bool = False
    killed: float | None = None
    ended: float | None = None


def add(engine: sa.Engine, new: Experiment) -> None:
    """Write a new experiment; refused when the name is taken or another experiment of the task has not ended."""
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(
                sa.text("LOCK TABLE experiments IN SHARE ROW EXCLUSIVE MODE")
            )  # two starts at once
        names = connection.execute(sa.select(experiments.c.id)).scalars().all()
        if new.id in names:
            raise Refusal(
                f"There is an experiment {new.id!r} already: give another name, so that its salts and evidence stay its own."
            )
        if other := connection.execute(_current(new.task)).first():
            raise Refusal(
                f"The experiment {other.id!r} of the task {new.task!r} has not ended: end it by `ml-workflow experiment end {other.id}`."
            )
        connection.execute(experiments.insert(), vars(new))


def change(engine: sa.Engine, name: str, changed: Callable[[Experiment], Experiment]) -> Experiment:
    """The experiment as changed, read and written in one transaction; salts, task and plan stay."""
    with writing(engine) as connection:
        new = changed(_found(connection, name, lock=True))
        values = {key: getattr(new, key) for key in ("phases", "killed", "ended")}
        connection.execute(experiments.update().where(experiments.c.id == name).values(values))
    return new


def experiment(engine: sa.Engine, name: str) -> Experiment:
    """The experiment of this name; raises Refusal with the nearest known one."""
    with reading(engine) as connection:
        return _found(connection, name)


def running(engine: sa.Engine, task: str) -> Experiment | None:
    """The experiment of the task that has not ended (it may be killed), or None: then the champion decides."""
    with reading(engine) as connection:
        row = connection.execute(_current(task)).mappings().first()
    return _experiment(row) if row else None


def _current(task: str) -> "sa.Select[Any]":
    return sa.select(experiments).where(experiments.c.task == task, experiments.c.ended.is_(None))


def _found(connection: sa.Connection, name: str, lock: bool = False) -> Experiment:
    query = sa.select(experiments).where(experiments.c.id == name)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    if row is None:
        names = connection.execute(sa.select(experiments.c.id)).scalars().all()
        raise Refusal(
            f"There is no experiment {name!r}.{nearest(name, names)} Start it by `ml-workflow experiment start {name}`."
        )
    return _experiment(row)


def _experiment(row: sa.RowMapping) -> Experiment:
    return Experiment(**{part.name: row[part.name] for part in fields(Experiment)})


def progress(engine: sa.Engine, name: str) -> list[dict[str, Any]]:
    """For each phase and arm assigned: units exposed, their decisions in this experiment, and the outcomes of these."""
    arm = sa.and_(
        decisions.c.experiment == exposures.c.experiment, decisions.c.unit == exposures.c.unit
    )
    joined = exposures.outerjoin(decisions, arm).outerjoin(
        outcomes, outcomes.c.decision == decisions.c.id
    )
    counts = [
        sa.func.count(sa.distinct(column)).label(label)
        for label, column in {
            "units": exposures.c.unit,
            "decisions": decisions.c.id,
            "outcomes": outcomes.c.idempotency_key,
        }.items()
    ]
    by = (exposures.c.phase, exposures.c.arm_assigned.label("arm"))
    query = (
        sa.select(*by, *counts)
        .select_from(joined)
        .where(exposures.c.experiment == name)
        .group_by(*by)
        .order_by(*by)
    )
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def strays_apart(engine: sa.Engine) -> int:
    """How many outcomes wait for a decision or unit that is not known."""
    with reading(engine) as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(strays)).scalar_one())
