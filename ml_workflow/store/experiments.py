"""The experiments of the decisions database: salts, phases, plan, and what was counted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..errors import Refusal, nearest
from .database import reading, writing
from .schema import decisions, experiments, exposures, outcomes, strays


@dataclass(frozen=True)
class Experiment:
    """Who takes part, in which arm. The first phase is phase 1; times are seconds since 1970.

    A phase: start, weights (share by arm), inclusion (share of all units), metric, ramps (list of
    [time, inclusion]). The fields are the columns of the table, in their order.
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


class Progress(NamedTuple):
    """Of a phase and an arm as assigned: units exposed, their decisions here, outcomes of these."""

    phase: int
    arm: str
    units: int
    decisions: int
    outcomes: int


def add_experiment(engine: sa.Engine, new: Experiment) -> None:
    """Write a new experiment; Refusal for a name taken, or while another of its task goes on."""
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":  # two may be started at once
            connection.execute(sa.text("LOCK TABLE experiments IN SHARE ROW EXCLUSIVE MODE"))
        if new.id in _names(connection):
            raise Refusal(
                f"There is an experiment {new.id!r} already: give another name, "
                "so that its salts and evidence stay its own."
            )
        if other := connection.execute(_current(new.task)).first():
            raise Refusal(
                f"The experiment {other.id!r} of the task {new.task!r} has not ended: "
                f"end it by `ml-workflow experiment end {other.id}`."
            )
        connection.execute(experiments.insert(), vars(new))


def change_experiment(
    engine: sa.Engine, name: str, change: Callable[[Experiment], Experiment]
) -> Experiment:
    """The experiment as changed, read and written in one transaction."""
    with writing(engine) as connection:
        new = change(_named(connection, name, lock=True))
        connection.execute(experiments.update().where(experiments.c.id == name), vars(new))
    return new


def read_experiment(engine: sa.Engine, name: str) -> Experiment:
    """The experiment of this name; raises Refusal with the nearest known one."""
    with reading(engine) as connection:
        return _named(connection, name)


def current_experiment(engine: sa.Engine, task: str) -> Experiment | None:
    """The experiment of the task that has not ended, killed or not; None: the champion decides."""
    with reading(engine) as connection:
        row = connection.execute(_current(task)).first()
    return Experiment(*row) if row else None


def progress(engine: sa.Engine, name: str) -> list[Progress]:
    """What was counted in an experiment, by phase and arm."""
    in_experiment = sa.and_(
        decisions.c.experiment == exposures.c.experiment, decisions.c.unit == exposures.c.unit
    )
    by = (exposures.c.phase, exposures.c.arm_assigned)
    counted = (exposures.c.unit, decisions.c.id, outcomes.c.idempotency_key)
    query = sa.select(*by, *(sa.func.count(column.distinct()) for column in counted))
    query = query.select_from(exposures.outerjoin(decisions, in_experiment).outerjoin(outcomes))
    query = query.where(exposures.c.experiment == name).group_by(*by).order_by(*by)
    with reading(engine) as connection:
        return [Progress(*row) for row in connection.execute(query)]


def count_strays(engine: sa.Engine) -> int:
    """How many outcomes wait for a decision or unit that is not known."""
    with reading(engine) as connection:
        query = sa.select(sa.func.count()).select_from(strays)
        return int(connection.execute(query).scalar_one())


def _current(task: str) -> sa.Select[Any]:
    return sa.select(experiments).where(experiments.c.task == task, experiments.c.ended.is_(None))


def _names(connection: sa.Connection) -> list[str]:
    return list(connection.scalars(sa.select(experiments.c.id)))


def _named(connection: sa.Connection, name: str, lock: bool = False) -> Experiment:
    query = sa.select(experiments).where(experiments.c.id == name)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise Refusal(
            f"There is no experiment {name!r}.{nearest(name, _names(connection))} "
            f"Start it by `ml-workflow experiment start {name}`."
        )
    return Experiment(*row)
