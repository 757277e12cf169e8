"""The evidence of an experiment in a decisions database, as the API writes it."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

from ..errors import Refusal, nearest
from ..store.address import connection_to, with_secrets
from ..store.experiments import Experiment
from ..store.schema import decisions, experiments, exposures, outcomes, strays
from ..task.definition import ABTest
from .evidence import ONE, ZERO, Ask, Evidence, Phase, with_repetition
from .plan import Plan, plan_hash


def open_database(where: str, name: str, abtest: ABTest, now: float) -> Evidence:
    """The evidence of the experiment of that name, or of the only one, at a database's URL."""
    _check_file(where)

    def ask(query: sa.Select[Any]) -> pd.DataFrame:
        with connection_to(where) as connection:
            return pd.read_sql(query, connection)

    experiment = _experiment(ask, name)
    salts = {"inclusion_salt": experiment.inclusion_salt, "arm_salt": experiment.arm_salt}
    phases = [Phase(phase["weights"], phase.get("metric")) for phase in experiment.phases]
    plan = experiment.plan or {}
    bound = plan.get("hash")
    evidence = Evidence(
        name=experiment.id,
        rows=_rows(experiment, abtest).subquery("rows"),
        ask=ask,
        now=now,
        phases=phases,
        abtest=abtest,
        plan=Plan.from_json(plan),
        is_changed=bool(bound) and bound != plan_hash(plan, salts, phases[0].weights),
        is_shadow=bool(experiment.shadow),
        strays=int(ask(sa.select(sa.func.count().label("n")).select_from(strays))["n"][0]),
    )
    return with_repetition(evidence, has_keys=True)


def _check_file(where: str) -> None:
    """Refuse a SQLite file that is not there, which would be made on the way."""
    with suppress(sa.exc.ArgumentError, ValueError):  # the connection tells of what is no URL
        url = sa.make_url(with_secrets(where))
        if url.get_backend_name() == "sqlite" and not Path(url.database or ".").is_file():
            raise Refusal(
                f"The evidence {url} does not exist: give the URL of the database that the API "
                "writes."
            )


def _experiment(ask: Ask, name: str) -> Experiment:
    """The experiment of that name, or the only one there is."""
    stored = ask(sa.select(experiments)).set_index("id", drop=False)
    known = ", ".join(stored.index) or "none"
    if name and name not in stored.index:
        raise Refusal(
            f"There is no experiment {name!r} in the evidence (it holds: {known})."
            f"{nearest(name, stored.index)}"
        )
    if not name and len(stored) != 1:
        raise Refusal(
            f"The evidence holds {len(stored)} experiments ({known}): name one by `experiment`."
        )
    return Experiment(*stored.loc[name or stored.index[0]])


def _rows(experiment: Experiment, abtest: ABTest) -> sa.Select[Any]:
    """A row for each outcome of each decision of the experiment's units, one where is none."""
    e, d, o = exposures.c, decisions.c, outcomes.c
    decided = sa.func.coalesce(d.time, e.time)
    turn = sa.func.row_number().over(
        partition_by=sa.func.coalesce(d.id, e.unit), order_by=o.arrival_time
    )
    own = sa.and_(d.unit == e.unit, d.time >= e.time, d.experiment == e.experiment)
    rows = sa.select(
        e.unit,
        e.arm_assigned.label("arm"),
        e.phase,
        e.time.label("exposed"),
        decided.label("decided"),
        o.event_time.label("happened"),
        o.arrival_time.label("arrived"),
        o.value,
        _covariate(abtest.covariate).label("covariate"),
        sa.case((turn == 1, ONE), else_=ZERO).label("weight"),
        *(_metric(name).label(name) for name in abtest.guardrails),
        *(d.row[name].as_string().label(name) for name in abtest.segments),
    )
    rows = rows.select_from(
        exposures.outerjoin(decisions, own).outerjoin(outcomes, o.decision == d.id)
    ).where(e.experiment == experiment.id)
    # What was decided after the kill, by the current process for all, is no evidence.
    return rows if pd.isna(experiment.killed) else rows.where(decided < experiment.killed)


def _covariate(name: str | None) -> sa.ColumnElement[Any]:
    """The covariate of a decision: its score, or a column of the row as it was given."""
    if name == "score":
        text = sa.cast(decisions.c.score, sa.Text)
        return sa.cast(sa.func.nullif(text, "null"), sa.Double)
    return decisions.c.row[name].as_float() if name else ZERO


def _metric(name: str) -> sa.ColumnElement[Any]:
    """A metric of the decisions themselves: `fallback`, or `action NAME`, as a share of them."""
    if name != "fallback" and not name.startswith("action "):
        raise Refusal(
            f"abtest.guardrails.{name} is no metric of a decisions database: write `fallback` or "
            "`action NAME`, or give the evidence as a table that holds it."
        )
    is_action = decisions.c.action == name.removeprefix("action ")
    hit = decisions.c.fallback if name == "fallback" else is_action
    return sa.case((hit, ONE), else_=ZERO)
