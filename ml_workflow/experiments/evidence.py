"""The evidence of an A/B test: rows of a decisions database or a table from elsewhere, summed where they are.

One description in SQLAlchemy gives the SQL of SQLite, PostgreSQL and DuckDB; only sums by arm, phase and day come back.
"""

import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ..data.tables import format_of
from ..errors import Refusal, nearest
from ..store.address import first_line, hidden, is_database, revealed
from ..store.files import read, reading, root

DAY = 86_400.0
ARMS = ("current", "release")
NEEDED = ("unit", "arm", "value", "time")
FAULTS = (
    "silent",
    "early",
    "broken",
    "uncovered",
)  # units without outcome, with one too early, not finite, without covariate
OPTIONAL = ("exposed", "phase", "covariate")
ONE, ZERO = (
    sa.cast(1, sa.Double),
    sa.cast(0, sa.Double),
)  # doubles: DuckDB adds up decimals several times slower
PROBED = 250_000  # rows up to which every unit is looked at for repetition; of larger tables an even share of the units is
EXPERIMENTS = sa.table(
    "experiments",
    *map(sa.column, ("id", "inclusion_salt", "arm_salt", "killed", "shadow")),
    sa.column("phases", sa.JSON),
    sa.column("plan", sa.JSON),
)
EXPOSURES = sa.table(
    "exposures", *map(sa.column, ("experiment", "unit", "arm_assigned", "phase", "time"))
)
DECISIONS = sa.table(
    "decisions",
    *map(sa.column, ("id", "unit", "time", "experiment", "action")),
    sa.column("row", sa.JSON),
    sa.column("score", sa.Text),
    sa.column("fallback", sa.Boolean),
)
OUTCOMES = sa.table(
    "outcomes", *map(sa.column, ("decision", "value", "event_time", "arrival_time"))
)


@dataclass(frozen=True)
class Evidence:
    """Rows, one a decision, with the columns unit, arm, phase, exposed, decided, happened, arrived, value, covariate, weight, metrics and segments.

    A decision with several outcomes has a row for each, of which one has weight 1. Times are seconds since 1970. `ask` runs a query where the rows are; `now` is the moment up to which is counted.
    """

    name: str  # the experiment
    rows: sa.FromClause
    ask: Callable[[sa.Select[Any]], pd.DataFrame]
    now: float
    phases: list[dict[str, Any]]  # weights by arm, of each phase
    salts: dict[str, str] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    strays: int = 0  # outcomes for units or decisions that nobody knows
    repeated: bool = True  # whether a unit can have several rows
    doubled: int = 0  # units with the same row more than once
    crossed: int = 0  # units in more than one arm
    arms: dict[str, str] = field(default_factory=dict)  # a table's names of arms, each with ours
    shadow: bool = False  # whether the current process is served in both arms
    final: bool = False  # whether outcomes are waited for no longer


def open_evidence(
    where: str,
    *,
    experiment: str = "",
    mapping: str = "",
    share: float = 0.5,
    covariate: str | None = None,
    metrics: Iterable[str] = (),
    segments: Iterable[str] = (),
    now: float | None = None,
) -> Evidence:
    """The evidence at a database URL or in a table (CSV, Parquet, JSON); refused in a sentence where it cannot be read.

    covariate, metrics and segments name what is read beside the worth; share is the release's, of a table's units.
    """
    if is_database(where):
        if mapping:
            raise Refusal(
                f"`mapping` names the columns of a table, but {where} is a decisions database: leave it out."
            )
        return open_database(
            where,
            experiment,
            covariate,
            list(metrics),
            list(segments),
            time.time() if now is None else now,
        )
    return open_table(where, experiment, mapping, share, [*metrics, *segments], now)


def noted(where: str) -> str:
    """The address, once the run's record notes what is read there: a file by its content, a database as never twice the same."""
    if is_database(where):
        read[f"evidence:{sha256(where.encode()).hexdigest()[:12]}"] = str(time.time())
    elif (root() / Path(where).expanduser()).is_file():
        reading(root() / Path(where).expanduser())
    return where


def summed(
    evidence: Evidence, window: float, metric: str = "value", segment: str | None = None
) -> pd.DataFrame:
    """Sums over units by arm, phase, day of exposure (and segment) in one pass: those of `statistics.summary.Sums`, and what health asks for.

    window, in seconds, is how long an outcome is waited for: units decided later than that before now are not counted yet,
    outcomes that arrived later than that after the decision never are, and a unit without an outcome earned 0.
    """
    keys = ["arm", "phase", "day", *([segment] if segment else [])]
    plain = (
        evidence.final and not evidence.repeated
    )  # then each row is a ripe unit of one decision, and half of the sums are the others
    u = (
        _rows(evidence, metric, segment) if plain else _by_unit(evidence, window, metric, segment)
    ).subquery()
    y, x, total, rows = u.c.y, u.c.x, sa.func.sum, sa.func.count()
    sums: dict[str, sa.ColumnElement[Any]] = {
        "exposed": rows,
        "y": total(y),
        "yy": total(y * y),
        "xy": total(x * y),
        "yyy": total(y * y * y),
        "absolute": total(sa.func.abs(y)),
        "largest": sa.func.max(sa.func.abs(y)),
    }
    if plain:
        lacking = {
            name: rows - sa.func.count(column) for name, column in (("broken", y), ("uncovered", x))
        }
        sums |= {
            "units": rows,
            "d": rows,
            "dd": rows,
            "yd": total(y),
            "x": total(x),
            "xx": total(x * x),
            "xd": total(x),
            **lacking,
        }
    else:
        d, one = u.c.d, sa.case((u.c.d > 0, ONE), else_=ZERO)
        sums |= {
            "units": total(one),
            "d": total(d),
            "dd": total(d * d),
            "yd": total(y * d),
            "x": total(x * one),
            "xx": total(x * x * one),
            "xd": total(x * d),
        }
        sums |= {name: total(u.c[name]) for name in FAULTS}
    columns = [u.c[key] for key in keys]
    found = _named(
        evidence,
        evidence.ask(
            sa.select(*columns, *(part.label(name) for name, part in sums.items())).group_by(
                *columns
            )
        ),
    )
    found = found.assign(**dict.fromkeys(set(FAULTS) - set(found.columns), 0.0)).fillna(0.0)
    figures = [column for column in found if column not in ("arm", segment)]
    return _compared(
        evidence.name,
        found.astype(dict.fromkeys(figures, float)).sort_values(keys, ignore_index=True),
    )


def delays(evidence: Evidence) -> pd.DataFrame:
    """How many outcomes took how long: columns arm, age (decision until now) and delay in whole hours, count."""
    r = evidence.rows.c
    if evidence.final:
        return pd.DataFrame({"arm": [], "age": [], "delay": [], "count": []})
    hours = [
        sa.func.floor((end - r.decided) / 3600.0).label(name)
        for name, end in (("age", evidence.now), ("delay", r.arrived))
    ]
    inside = sa.and_(r.arrived >= r.decided, r.arrived <= evidence.now)
    return _named(
        evidence,
        evidence.ask(
            sa.select(r.arm, *hours, sa.func.count().label("count"))
            .where(inside)
            .group_by(r.arm, *hours)
        ),
    )


def _named(evidence: Evidence, found: pd.DataFrame) -> pd.DataFrame:
    """What was found, its arms by our names."""
    return found.assign(arm=found["arm"].astype(str).replace(evidence.arms))


def _rows(evidence: Evidence, metric: str, segment: str | None) -> sa.Select[Any]:
    """The rows themselves, each a unit of one decision whose outcome is in; the metric is NULL where it is not finite."""
    r = evidence.rows.c
    y = sa.case((sa.func.abs(r[metric]) < 1e300, r[metric]))
    return sa.select(
        r.arm,
        r.phase,
        sa.func.floor(r.exposed / DAY).label("day"),
        *([r[segment]] if segment else []),
        y.label("y"),
        r.covariate.label("x"),
    )


def _by_unit(evidence: Evidence, window: float, metric: str, segment: str | None) -> sa.Select[Any]:
    """One row a unit: how many of its decisions count, what they were worth, its covariate, and what is wrong with it."""
    r = evidence.rows.c
    y, known = (
        (r.value, sa.and_(r.arrived.is_not(None), r.arrived <= r.decided + window))
        if metric == "value"
        else (r[metric], sa.true())
    )
    finite = sa.and_(
        y.is_not(None), sa.func.abs(y) < 1e300
    )  # NaN is larger than all numbers, or NULL
    ripe = r.decided <= evidence.now - window
    answered = sa.and_(ripe, known)
    parts: dict[str, sa.ColumnElement[Any]] = {
        "d": sa.case((ripe, r.weight), else_=ZERO),
        "y": sa.case(
            (sa.and_(answered, finite), y if metric == "value" else y * r.weight), else_=ZERO
        ),
        "answered": sa.case((answered, ONE), else_=ZERO),
        "early": sa.case((r.happened < r.exposed, ONE), else_=ZERO),
        "broken": sa.case((sa.and_(known, sa.not_(finite)), ONE), else_=ZERO),
        "uncovered": sa.case((r.covariate.is_(None), ONE), else_=ZERO),
    }
    x: sa.ColumnElement[Any] = sa.func.coalesce(r.covariate, ZERO)
    keys = [r.arm, *([r[segment]] if segment else [])]
    first: list[sa.ColumnElement[Any]] = [r.phase, sa.func.floor(r.exposed / DAY)]
    if evidence.repeated:
        parts = {
            name: sa.func.sum(part) if name in ("d", "y") else sa.func.max(part)
            for name, part in parts.items()
        }
        x, first = (
            sa.func.sum(x * r.weight) / sa.func.sum(r.weight),
            [sa.func.min(r.phase), sa.func.floor(sa.func.min(r.exposed) / DAY)],
        )
    parts |= {
        "phase": first[0],
        "day": first[1],
        "x": x,
        "silent": sa.case((parts["d"] > 0, 1 - parts["answered"]), else_=ZERO),
    }
    chosen = sa.select(*keys, *(part.label(name) for name, part in parts.items()))
    return chosen.group_by(r.unit, *keys) if evidence.repeated else chosen


def open_database(
    where: str,
    experiment: str,
    covariate: str | None,
    metrics: list[str],
    segments: list[str],
    now: float,
) -> Evidence:
    """The evidence of one experiment in a decisions database, as the API writes it."""
    engine, ask = _connected(where)
    e, d, o = EXPOSURES, DECISIONS, OUTCOMES
    about = _experiment(where, ask, experiment)
    turn = sa.func.row_number().over(
        partition_by=sa.func.coalesce(d.c.id, e.c.unit), order_by=o.c.arrival_time
    )
    rows = (
        sa.select(
            e.c.unit,
            e.c.arm_assigned.label("arm"),
            e.c.phase,
            e.c.time.label("exposed"),
            sa.func.coalesce(d.c.time, e.c.time).label("decided"),
            o.c.event_time.label("happened"),
            o.c.arrival_time.label("arrived"),
            o.c.value,
            _given(covariate).label("covariate"),
            sa.case((turn == 1, ONE), else_=ZERO).label("weight"),
            *(_metric(name).label(name) for name in metrics),
            *(DECISIONS.c.row[name].as_string().label(name) for name in segments),
        )
        .select_from(
            e.outerjoin(
                d,
                sa.and_(
                    d.c.unit == e.c.unit, d.c.time >= e.c.time, d.c.experiment == e.c.experiment
                ),
            ).outerjoin(o, o.c.decision == d.c.id)
        )
        .where(
            e.c.experiment == about["id"],
            *(
                []
                if pd.isna(about["killed"])
                else [sa.func.coalesce(d.c.time, e.c.time) < about["killed"]]
            ),
        )
    )
    strays = (
        int(ask(sa.select(sa.func.count().label("n")).select_from(sa.table("strays")))["n"][0])
        if sa.inspect(engine).has_table("strays")
        else 0
    )
    evidence = Evidence(
        about["id"],
        rows.subquery("rows"),
        ask,
        now,
        about["phases"],
        {k: about[k] for k in ("inclusion_salt", "arm_salt")},
        about["plan"] or {},
        strays,
        shadow=bool(about["shadow"]),
    )
    return _probed(evidence)


def _connected(where: str) -> tuple[sa.Engine, Callable[[sa.Select[Any]], pd.DataFrame]]:
    """The database and a function that asks it; what it refuses becomes a sentence without secrets."""
    try:
        engine = sa.create_engine(
            revealed(where), poolclass=sa.NullPool
        )  # none left open: SQLite then takes its -wal and -shm files away
    except ModuleNotFoundError as error:
        raise Refusal(
            f"The evidence {where} needs the package {error.name}: install it, then run again."
        ) from None
    except (sa.exc.SQLAlchemyError, ValueError):  # which may quote the password
        raise Refusal(
            "The evidence is no database URL: write dialect://user:password@host/name, special characters as %40."
        ) from None
    secret = engine.url.render_as_string()  # the password as ***
    if (
        engine.dialect.name == "sqlite"
        and engine.url.database
        and not Path(engine.url.database).is_file()
    ):
        raise Refusal(
            f"The evidence {secret} does not exist: give the URL of the database that the API writes."
        )

    def ask(query: sa.Select[Any]) -> pd.DataFrame:
        try:
            with engine.connect() as connection:
                return pd.read_sql(query, connection)
        except (sa.exc.SQLAlchemyError, pd.errors.DatabaseError) as error:
            raise Refusal(
                f"The evidence {secret} did not answer: {hidden(first_line(error), where, engine.url.password)}"
            ) from None

    return engine, ask


def _experiment(
    where: str, ask: Callable[[sa.Select[Any]], pd.DataFrame], name: str
) -> dict[str, Any]:
    """The row of one experiment: the one named, or the only one there is."""
    found = ask(sa.select(EXPERIMENTS)).set_index("id", drop=False)
    known = ", ".join(found.index) or "none"
    if name and name not in found.index:
        raise Refusal(
            f"There is no experiment {name!r} in the evidence (it holds: {known}).{nearest(name, found.index)}"
        )
    if not name and len(found) != 1:
        raise Refusal(
            f"The evidence holds {len(found)} experiments ({known}): name one by `experiment`."
        )
    return {str(k): v for k, v in found.loc[name or found.index[0]].items()}


def _given(covariate: str | None) -> sa.ColumnElement[Any]:
    """The covariate of a decision: its score, or a column of the row as it was given."""
    if covariate == "score":
        text = sa.cast(DECISIONS.c.score, sa.Text)
        return sa.cast(sa.func.nullif(text, "null"), sa.Double)
    return DECISIONS.c.row[covariate].as_float() if covariate else ZERO


def _metric(name: str) -> sa.ColumnElement[Any]:
    """A metric of the decisions themselves: `fallback`, or `action NAME`, each as a share of decisions."""
    if name != "fallback" and not name.startswith("action "):
        raise Refusal(
            f"abtest.guardrails.{name} is no metric of a decisions database: write `fallback` or `action NAME`, or give the evidence as a table that holds it."
        )
    hit = (
        DECISIONS.c.fallback
        if name == "fallback"
        else DECISIONS.c.action == name.removeprefix("action ")
    )
    return sa.case((hit, ONE), else_=ZERO)


def open_table(
    where: str, name: str, mapping: str, share: float, others: list[str], now: float | None
) -> Evidence:
    """The evidence of a table: one row a decision, or a unit; its outcomes are final, unless it says when units were exposed."""
    connection, columns = _scanned(where)
    known = _mapped(where, mapping, columns, others)
    timed = known.get("exposed", known["time"])
    moments = {
        new: _moment(known[old], columns[known[old]])
        for new, old in (("exposed", "exposed"), ("time", "time"))
        if old in known
    }
    exposed = moments.get("exposed", moments["time"])
    parts = {
        "unit": _quoted(known["unit"]),
        "arm": _quoted(known["arm"]),
        "phase": _quoted(known["phase"]) if "phase" in known else "1",
        "exposed": exposed,
        "decided": exposed,
        "happened": moments["time"],
        "arrived": moments["time"],
        "value": f"CAST({_quoted(known['value'])} AS DOUBLE)",
        "covariate": f"CAST({_quoted(known['covariate'])} AS DOUBLE)"
        if "covariate" in known
        else "CAST(0 AS DOUBLE)",
        "weight": "CAST(1 AS DOUBLE)",
        **{other: _quoted(known[other]) for other in others},
    }
    selected = ", ".join(f"{sql} AS {_quoted(column)}" for column, sql in parts.items())
    label, arms = (
        name or Path(where).name,
        {theirs: ours for theirs, ours in _pairs(mapping).items() if ours in ARMS},
    )
    try:
        connection.execute(f"CREATE VIEW rows AS SELECT {selected} FROM source")
        top = connection.execute(
            "SELECT greatest(max(exposed), max(arrived)), count(*), count(exposed), count(unit) FROM rows"
        ).fetchall()[0]
    except duckdb.Error as error:
        raise Refusal(f"{where} cannot be read as evidence: {first_line(error)}") from None
    if top[1] != top[2]:
        raise Refusal(
            f"Experiment {label}: {top[1] - top[2]:,} of {top[1]:,} rows have no time in {timed!r}: fill it, or leave these rows out."
        )

    def ask(query: sa.Select[Any]) -> pd.DataFrame:
        sql = str(
            query.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
        ).replace("%%", "%")
        try:
            return connection.execute(sql).df()
        except duckdb.Error as error:
            raise Refusal(f"{where} cannot be read as evidence: {first_line(error)}") from None

    rows = sa.table(
        "rows",
        *(
            sa.column(column, sa.Text if column in ("arm", "unit") else sa.Double)
            for column in parts
        ),
    )
    evidence = Evidence(
        label,
        rows,
        ask,
        now or float(top[0] or 0),
        [{"weights": {"current": 1 - share, "release": share}}],
        strays=top[1] - top[3],
        arms=arms,
        final="exposed" not in known,
    )
    return _probed(evidence)


def _scanned(where: str) -> tuple[duckdb.DuckDBPyConnection, dict[str, str]]:
    """A connection whose view `source` is the file, and the types of its columns."""
    path = root() / Path(where).expanduser()
    reader = {"csv": "read_csv", "parquet": "read_parquet", "json": "read_json"}.get(
        format_of(path) or ""
    )
    if not path.is_file() or reader is None:
        raise Refusal(
            f"The evidence {where} is neither a database URL nor a CSV, Parquet or JSON file that exists."
        )
    connection = duckdb.connect()
    try:
        connection.execute(
            f"CREATE VIEW source AS SELECT * FROM {reader}('{str(path).replace(chr(39), chr(39) * 2)}')"
        )
        described = connection.execute("DESCRIBE source").fetchall()
    except duckdb.Error as error:
        raise Refusal(f"The evidence {where} cannot be read: {first_line(error)}") from None
    return connection, {str(row[0]): str(row[1]) for row in described}


def _pairs(mapping: str) -> dict[str, str]:
    """`theirs=ours,…` as a dictionary from theirs to ours."""
    pairs = [
        tuple(part.strip() for part in pair.split("="))
        for pair in mapping.split(",")
        if pair.strip()
    ]
    if wrong := [pair for pair in pairs if len(pair) != 2 or not all(pair)]:
        raise Refusal(
            f"mapping has the part {'='.join(wrong[0])!r}: write theirs=ours,…, such as user=unit,variant=arm,revenue=value,ts=time,B=release."
        )
    return {pair[0]: pair[1] for pair in pairs}


def _mapped(where: str, mapping: str, columns: dict[str, str], others: list[str]) -> dict[str, str]:
    """Our names, each with the table's column behind it."""
    pairs = {theirs: ours for theirs, ours in _pairs(mapping).items() if ours not in ARMS}
    known = [*NEEDED, *OPTIONAL, *others]
    if wrong := [ours for ours in pairs.values() if ours not in known]:
        raise Refusal(
            f"mapping names {wrong[0]!r}, which is no column of evidence ({', '.join(known)}).{nearest(wrong[0], known)}"
        )
    if wrong := [theirs for theirs in pairs if theirs not in columns]:
        raise Refusal(
            f"mapping names the column {wrong[0]!r}, which {where} does not have.{nearest(wrong[0], columns)}"
        )
    found = {ours: ours for ours in known if ours in columns} | {
        ours: theirs for theirs, ours in pairs.items()
    }
    if missing := [ours for ours in (*NEEDED, *others) if ours not in found]:
        raise Refusal(
            f"{where} has no column {missing[0]!r} (it has {', '.join(columns)}): say by `mapping` which it is, such as {next(iter(columns))}={missing[0]}."
        )
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _moment(column: str, kind: str) -> str:
    """SQL of a moment in seconds since 1970, from a number of seconds, a date or a text that reads as a date."""
    if re.match(r"DATE|TIME", kind):
        return f"CAST(epoch({_quoted(column)}) AS DOUBLE)"
    return (
        f"epoch(CAST({_quoted(column)} AS TIMESTAMP))"
        if kind == "VARCHAR"
        else f"CAST({_quoted(column)} AS DOUBLE)"
    )


def _probed(evidence: Evidence) -> Evidence:
    """The evidence with what is known of units that have several rows."""
    r = evidence.rows.c
    rows = int(
        evidence.ask(sa.select(sa.func.count().label("n")).select_from(evidence.rows))["n"][0]
    )
    every = max(1, rows // PROBED) if not evidence.salts else 1
    units = (
        sa.select(r.unit).where(r.unit.is_not(None)).group_by(r.unit).having(sa.func.count() > 1)
    )
    if every > 1:
        units = units.where(
            sa.func.hash(r.unit) % every == 0
        )  # DuckDB's: an even share of the units, with all their rows
    repeated = bool(evidence.ask(units.limit(1)).size)
    faults = _faulty(evidence, units, every) if repeated else {}
    return replace(
        evidence,
        repeated=repeated,
        doubled=faults.get("doubled", 0),
        crossed=faults.get("crossed", 0),
    )


def _compared(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The sums, refused where there are no two arms to compare."""
    counts, said = rows.groupby("arm")["exposed"].sum(), f"Experiment {name}"
    if counts.empty:
        raise Refusal(
            f"{said} has no exposures: let the API answer /decide while it runs, or correct `experiment` and `evidence`."
        )
    if foreign := [str(arm) for arm in counts.index if arm not in ARMS]:
        raise Refusal(
            f"{said} has the arm {foreign[0]!r} ({int(counts[foreign[0]]):,} units): arms are current and release; name them by `mapping`, such as A=current,B=release."
        )
    for arm in ARMS:
        if arm not in counts.index:
            raise Refusal(
                f"{said}: the arm {arm} is empty, {counts.index[0]} has {int(counts.iloc[0]):,} units: look at the weights, or wait until both arms have units."
            )
    return rows


def _faulty(evidence: Evidence, units: sa.Select[Any], every: int) -> dict[str, int]:
    """How many units of a table have the same row twice (a database has its keys), and how many stand in two arms."""
    r = evidence.rows.c
    twice = sa.and_(
        sa.false() if evidence.salts else sa.true(),
        sa.func.count() > sa.func.count(sa.distinct(r.happened)),
    )
    both = sa.func.min(r.arm) != sa.func.max(r.arm)
    u = units.add_columns(
        *(
            sa.case((test, 1), else_=0).label(name)
            for name, test in (("doubled", twice), ("crossed", both))
        )
    ).subquery()
    found = evidence.ask(
        sa.select(
            sa.func.sum(u.c.doubled).label("doubled"), sa.func.sum(u.c.crossed).label("crossed")
        )
    ).iloc[0]
    return {str(name): int(count) * every for name, count in found.items()}


def bound(plan: dict[str, Any], salts: dict[str, str], weights: dict[str, float]) -> dict[str, Any]:
    """The plan with a hash that binds it to the salts and the weights it was made for."""
    plain = {key: value for key, value in plan.items() if key != "hash"}
    return {
        **plain,
        "hash": sha256(json.dumps([plain, salts, weights], sort_keys=True).encode()).hexdigest(),
    }


def departures(evidence: Evidence, metric: str, aa: bool = False) -> tuple[str, str]:
    """What keeps the experiment from being the one that was planned, and what is only to be known; each "" when there is nothing."""
    said, plan, first = f"Experiment {evidence.name}", evidence.plan, evidence.phases[0]
    if evidence.shadow and not aa:
        return (
            f"{said} runs in shadow, so both arms are decided by the current process: judge it with aa=true, or start one without shadow.",
            "",
        )
    if plan.get("hash") and bound(plan, evidence.salts, first["weights"])["hash"] != plan["hash"]:
        return (
            f"{said}: its salts, weights or plan were changed after it began, so its units no longer are what was planned: end it, and start a new one.",
            "",
        )
    if plan.get("metric", metric) != metric:
        return (
            f"{said} was planned for the metric {plan['metric']!r}, the task now says {metric!r}: take the old values back, or start a new experiment.",
            "",
        )
    notes = (
        []
        if plan.get("units")
        else [
            f"{said} has no planned number of units: its bounds are those of a sequence without an end"
        ]
    )
    for what in ("weights", "metric"):
        if later := [
            n for n, phase in enumerate(evidence.phases, 1) if phase.get(what) != first.get(what)
        ]:
            notes.append(
                f"{said} has other {what} from phase {later[0]} on: arms are compared within phases".replace(
                    "other metric", "another metric"
                )
            )
    return "", "; ".join(notes) + "." if notes else ""
