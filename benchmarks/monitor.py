"""monitor's bars on the real credit table: false alarms, drift by size, and millions of rows.

After `ml-workflow run credit`:
.venv/bin/python benchmarks/monitor.py alarms [WINDOWS]
.venv/bin/python benchmarks/monitor.py power [WINDOWS]
.venv/bin/python benchmarks/monitor.py speed [DECISIONS [DATABASE]]
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa

from ml_workflow.data.joins import inputs
from ml_workflow.model.registry import promote, register
from ml_workflow.model.release import Release, load_release
from ml_workflow.operate.monitor import findings_of, observe
from ml_workflow.operate.reference import Reference, losses_of, reference_of
from ml_workflow.operate.simulate import DRIFTS, MONTH, Arrivals, Scenario
from ml_workflow.store.database import insert_frames, open_decisions
from ml_workflow.store.run import Run, open_run, reports
from ml_workflow.store.schema import decisions, outcomes

VERSION, ROWS, USUAL, PROMISED = "credit/1", 5000, 8000, 6000
SIZES = {
    "covariate": [0.05, 0.1, 0.15, 0.2, 0.3, 0.5],
    "concept": [0.05, 0.1, 0.15, 0.2, 0.3, 0.5],
    "broken": [0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
    "seasonal": sorted(
        round(Scenario(pd.DataFrame(), drift=DRIFTS["seasonal"], size=0.3).strength(month), 2)
        for month in (1, 2, 3, 7, 8, 9)
    ),
}
"""Of the first number: deviations that its mean moves (seasonal: in months of a year), share of
outcomes that are another's, share of rows that lost it."""
SERIES = {
    "sqlite": "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {n}) ",
    "postgresql": "WITH s AS (SELECT CAST(i AS BIGINT) AS i FROM generate_series(1, {n}) AS g(i)) ",
}
NAME = {  # as Decision makes them: milliseconds, then chance
    "sqlite": "printf('%012x%010x%010x', CAST(({begin} + i * {step}) * 1000 AS INTEGER), "
    "(i * 2654435761) % 4294967296, i)",
    "postgresql": "lpad(to_hex(CAST(({begin} + i * {step}) * 1000 AS BIGINT)), 12, '0') "
    "|| substr(md5(CAST(i AS TEXT)), 1, 20)",
}
NUMBER = "({} * 2654435761) % 4294967296 % {{pool}}"
DECIDED = (
    "INSERT INTO decisions (position, id, unit, row, version, score, action, propensity, "
    "fallback, time) {series}SELECT i, {name}, 'customer ' || i, p.row, '{version}', p.score, "
    "p.action, 1, {false}, {begin} + i * {step} FROM s "
    f"JOIN pool p ON p.number = {NUMBER.format('i')}"
)
CAME = (
    "INSERT INTO outcomes (idempotency_key, decision, value, event_time, arrival_time) "
    "SELECT 'o' || d.position, d.id, p.value, d.time + {delay}, d.time + {delay} "
    f"FROM decisions d JOIN pool p ON p.number = {NUMBER.format('d.position')} "
    "WHERE d.time + {delay} < {end}"
)
MEASURED = """
import resource, subprocess, sys, time
began = time.perf_counter()
status = subprocess.run(sys.argv[1:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
seconds = time.perf_counter() - began
bars = "bars: 60 s for 10 million, 1 GB"
print(f"status {status}, {seconds:.1f} s, peak memory {peak:.2f} GB ({bars})")
"""
"""Run by a small process, since a child's peak counts what its parent held when it was forked."""


class Live(NamedTuple):
    """A finished run of credit and its release."""

    folder: Run
    release: Release


class Played(NamedTuple):
    """Decisions to be written: rows as given, scores, actions, and their values."""

    rows: pd.DataFrame
    scores: np.ndarray
    actions: np.ndarray
    values: np.ndarray

    def some(self, places: np.ndarray) -> "Played":
        """These of them."""
        return Played(self.rows.iloc[places], *(part[places] for part in self[1:]))

    @property
    def decisions(self) -> pd.DataFrame:
        """Score, action and value of each."""
        columns = {"score": self.scores, "action": self.actions, "value": self.values}
        return pd.DataFrame(columns)


def newest() -> Live:
    """The newest run of credit that made a release."""
    folder = open_run(max(p.parents[1].name for p in reports().glob("credit-*/files/ledger.json")))
    digest = json.loads((folder.files / "ledger.json").read_text())["digest"]
    return Live(folder, load_release(folder.files / "release", digest))


def played(release: Release, arrivals: Arrivals, scores: np.ndarray) -> Played:
    """What the scores decide, and what that earns."""
    rows, outcomes = arrivals
    actions = release.kind.decide(rows, scores)
    return Played(rows, scores, actions, release.kind.value(rows, actions, outcomes))


def write(
    engine: sa.Engine,
    release: Release,
    month: Played,
    begin: float,
    chance: np.random.Generator,
    name: str,
) -> None:
    """A month of decisions with outcomes, of which 3 % come late."""
    count, decisions = len(month.rows), month.decisions
    times = begin + np.sort(chance.random(count)) * MONTH
    late = np.where(chance.random(count) < 0.03, 2.0, 0.9) * release.task.target.delay
    given = month.rows[list(release.contract)].to_json(orient="records", double_precision=15)
    names = [f"{name}-{i}" for i in range(count)]
    made = decisions[["score", "action"]].assign(
        id=names,
        unit=names,
        row=json.loads(given),
        version=VERSION,
        propensity=1.0,
        fallback=False,
        time=times,
    )
    came = decisions[["value"]].assign(
        idempotency_key=names, decision=names, event_time=times + late, arrival_time=times + late
    )
    insert_frames(engine, {"decisions": made, "outcomes": came})


def found_in(
    engine: sa.Engine,
    release: Release,
    reference: Reference,
    old: Played,
    now: Played,
    number: int,
) -> dict[str, str]:
    """What monitoring says of a month of decisions, by whose end the month before has outcomes."""
    chance, begin = np.random.default_rng([8, number]), MONTH * 10 * (number + 1)
    for month, part in enumerate([old, now]):
        write(engine, release, part, begin + month * MONTH, chance, f"{number}-{month}")
    observation = observe(engine, VERSION, release, begin + 2 * MONTH, MONTH)
    assert observation is not None and observation.now.decisions == len(now.rows)
    assert observation.outcomes.known == len(old.rows)
    return findings_of(reference, observation)


def alarms(live: Live, windows: int) -> None:
    """The share of windows that raise anything.

    Reference, holdout and window are parts of one table, drawn anew each time.
    """
    release, task = live.release, live.release.task
    table, scores = (
        pd.read_parquet(live.folder.files / f"{name}.parquet")
        for name in ("dataset", "out_of_fold")
    )
    arrivals = Arrivals(table, release.kind.outcomes(table))
    everything = played(release, arrivals, scores["score"].to_numpy())
    strengths = json.loads((live.folder.files / "dataset.json").read_text())["strengths"]
    strongest = [c for c in strengths if c in release.contract]
    raised, what = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        engine = open_decisions(f"sqlite:///{place}/d.db")
        for number in range(windows):
            chance = np.random.default_rng([1, number])
            first, second, old, now = np.split(
                chance.permutation(len(table))[: USUAL + PROMISED + 2 * ROWS],
                np.cumsum([USUAL, PROMISED, ROWS]),
            )
            holdout = everything.some(second)
            reference = Reference(
                inputs(task, table.iloc[first])[strongest].reset_index(drop=True),
                holdout.decisions,
                losses_of(release.kind, holdout.rows, holdout.decisions),
            )
            parts = everything.some(old), everything.some(now)
            found = found_in(engine, release, reference, *parts, number)
            raised += bool(found)
            what.update(found)
    print(
        f"{windows} windows of {ROWS:,} decisions, {len(strongest)} columns, nothing moved: "
        f"{raised / windows:.3f} raise anything (bar .05 or less, nominal .02)",
        dict(what),
    )


def power(live: Live, windows: int) -> None:
    """The share of windows in which each kind of drift is found, by its size, and by what."""
    release, number = live.release, 0
    holdout = pd.read_parquet(live.folder.files / "holdout.parquet")
    reference, column = reference_of(release), release.contract.numeric[0]
    with tempfile.TemporaryDirectory() as place:
        engine = open_decisions(f"sqlite:///{place}/d.db")
        for kind, size in ((kind, size) for kind, sizes in SIZES.items() for size in sizes):
            raised, what = 0, Counter[str]()
            for _ in range(windows):
                chance, number = np.random.default_rng([2, number]), number + 1
                parts = []
                for _ in ("old", "now"):
                    drawn = chance.integers(0, len(holdout), ROWS)
                    rows = holdout.iloc[drawn].reset_index(drop=True)
                    arrivals = Arrivals(rows, release.kind.outcomes(rows))
                    moved = DRIFTS[kind].change(arrivals, column, size, chance)
                    parts.append(played(release, moved, release.score(moved.rows)))
                found = found_in(engine, release, reference, parts[0], parts[1], number)
                raised += bool(found)
                what.update(name.split(" with ")[0] for name in found)
            print(
                f"{kind:<10}{size:>6.2f}{raised / windows:>8.2f}  {dict(what.most_common(4))}",
                flush=True,
            )


def fill(engine: sa.Engine, live: Live, count: int) -> float:
    """A year of `count` decisions until now, made in the database from the holdout's rows.

    How many bytes a row as given has.
    """
    release, rows = live.release, pd.read_parquet(live.folder.files / "holdout.parquet")
    month = played(release, Arrivals(rows, release.kind.outcomes(rows)), release.score(rows))
    records = rows[list(release.contract)].to_json(orient="records", double_precision=15)
    given = [json.dumps(row) for row in json.loads(records)]
    pool = month.decisions.assign(number=range(len(rows)), row=given)
    pool["score"] = [json.dumps(score) for score in month.scores.tolist()]
    kind, span, delay = engine.dialect.name, 365 * 86400.0, release.task.target.delay * 0.9
    words = {
        "n": count,
        "version": VERSION,
        "false": "0" if kind == "sqlite" else "FALSE",
        "begin": time.time() - span,
        "step": span / count,
        "pool": len(rows),
        "delay": delay,
        "end": time.time(),
    }
    decide = DECIDED.format(
        series=SERIES[kind].format(n=count), name=NAME[kind].format(**words), **words
    )
    if kind == "postgresql":
        decide = decide.replace("p.row", "CAST(p.row AS JSON)").replace(
            "p.score", "CAST(p.score AS JSON)"
        )
    with engine.execution_options(writes=True).begin() as connection:
        # a large cache, or a role that checks no foreign keys
        fast = {"sqlite": "PRAGMA cache_size = -1000000"}
        connection.exec_driver_sql(fast.get(kind, "SET session_replication_role = replica"))
        pool.to_sql("pool", connection, index=False)
        later = [index for table in (decisions, outcomes) for index in table.indexes]
        for index in later:
            index.drop(connection)
        connection.exec_driver_sql("CREATE INDEX by_number ON pool (number)")
        connection.exec_driver_sql(decide.replace("%", "%%") if kind == "postgresql" else decide)
        came = CAME.format(**words)
        connection.exec_driver_sql(came.replace("%", "%%") if kind == "postgresql" else came)
        for index in later:
            index.create(connection)
        connection.exec_driver_sql("DROP TABLE pool")
    engine.dispose()
    if kind == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    return float(np.mean([len(text) for text in given]))


def speed(live: Live, count: int, url: str) -> None:
    """How long `ml-workflow monitor` takes over a year of so many decisions; its peak memory."""
    folder = live.folder.folder
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "reports").mkdir()
        (Path(place) / "reports" / folder.name).symlink_to(folder.resolve())
        os.environ |= {
            "ML_WORKFLOW_REPORTS": f"{place}/reports",
            "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        release = live.folder.files / "release"
        register("credit", release, live.release.digest, {}, {}, {"run": folder.name})
        promote("credit", "1")
        database = url or f"sqlite:///{place}/d.db"
        engine, began = open_decisions(database), time.perf_counter()
        size = fill(engine, live, count)
        print(
            f"{count:,} decisions of {size:.0f} bytes a row in {engine.dialect.name}, "
            f"made in {time.perf_counter() - began:.0f} s",
            flush=True,
        )
        words = ["monitor", "credit", "--days", "365", "--database", database]
        command = [sys.executable, "-m", "ml_workflow.cli", *words]
        subprocess.run([sys.executable, "-c", MEASURED, *command], check=True)


if __name__ == "__main__":
    what, *more = sys.argv[1:] or ["alarms"]
    if what == "speed":
        speed(newest(), int(more[0]) if more else 10_000_000, more[1] if len(more) > 1 else "")
    else:
        {"alarms": alarms, "power": power}[what](
            newest(), int(more[0]) if more else 200 if what == "alarms" else 20
        )
