"""monitor's bars on the real credit table: false alarms, size of drift against detection, and millions of decisions in a database.

After `ml-workflow run credit`: .venv/bin/python benchmarks/monitor.py alarms [WINDOWS] | power [WINDOWS] | speed [DECISIONS [DATABASE]]
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
from ml_workflow.decision.target import outcome
from ml_workflow.decision.value import decide_by_value, value
from ml_workflow.experiments.plan import known_after
from ml_workflow.model.registry import promote, register
from ml_workflow.model.release import Release, load_release
from ml_workflow.operate.monitor import findings, look
from ml_workflow.operate.reference import Promise, judged, promise
from ml_workflow.operate.simulate import MONTH, Plan, drifts, strength
from ml_workflow.store.database import insert_frames, open_decisions
from ml_workflow.store.run import Run, open_run, reports
from ml_workflow.store.schema import decisions, outcomes

VERSION, ROWS, USUAL, PROMISED = "credit/1", 5000, 8000, 6000
SIZES = {
    "covariate": [0.05, 0.1, 0.15, 0.2, 0.3, 0.5],
    "concept": [0.05, 0.1, 0.15, 0.2, 0.3, 0.5],
    "broken": [0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
    "seasonal": sorted(
        round(strength(Plan(drift="seasonal", size=0.3), month), 2) for month in (1, 2, 3, 7, 8, 9)
    ),
}
"""Of the first number: deviations that its mean moves (seasonal: in months of a year), share of outcomes that are another's, share of rows that lost it."""
SERIES = {
    "sqlite": "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {n}) ",
    "postgresql": "WITH s AS (SELECT CAST(i AS BIGINT) AS i FROM generate_series(1, {n}) AS g(i)) ",
}
NAME = {  # as Decision makes them: milliseconds, then chance
    "sqlite": "printf('%012x%010x%010x', CAST(({begin} + i * {step}) * 1000 AS INTEGER), (i * 2654435761) % 4294967296, i)",
    "postgresql": "lpad(to_hex(CAST(({begin} + i * {step}) * 1000 AS BIGINT)), 12, '0') || substr(md5(CAST(i AS TEXT)), 1, 20)",
}
DECIDED = (
    "INSERT INTO decisions (position, id, unit, row, version, score, action, propensity, fallback, time) {series}"
    "SELECT i, {name}, 'customer ' || i, p.row, '{version}', p.score, p.action, 1, {false}, {begin} + i * {step} FROM s JOIN pool p ON p.number = (i * 2654435761) % 4294967296 % {pool}"
)
CAME = (
    "INSERT INTO outcomes (idempotency_key, decision, value, event_time, arrival_time) "
    "SELECT 'o' || d.position, d.id, p.worth, d.time + {delay}, d.time + {delay} FROM decisions d JOIN pool p ON p.number = (d.position * 2654435761) % 4294967296 % {pool} WHERE d.time + {delay} < {end}"
)
MEASURED = """
import resource, subprocess, sys, time
began = time.perf_counter()
status = subprocess.run(sys.argv[1:]).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
print(f"status {status}, {time.perf_counter() - began:.1f} s (bar 60 for 10 million), peak memory {peak:.2f} GB (bar 1)")
"""
"""Run by a small process, since a child's peak counts what its parent held when it was forked."""


class Live(NamedTuple):
    """A finished run of credit and its release."""

    folder: Run
    release: Release


class Played(NamedTuple):
    """Decisions to be written: rows as given, scores, actions, worth."""

    rows: pd.DataFrame
    scores: np.ndarray
    actions: np.ndarray
    worth: np.ndarray

    def some(self, places: np.ndarray) -> "Played":
        """These of them."""
        return Played(self.rows.iloc[places], *(part[places] for part in self[1:]))


def newest() -> Live:
    """The newest run of credit that made a release."""
    folder = open_run(max(p.parents[1].name for p in reports().glob("credit-*/files/ledger.json")))
    return Live(
        folder,
        load_release(
            folder.files / "release",
            json.loads((folder.files / "ledger.json").read_text())["digest"],
        ),
    )


def decided(release: Release, rows: pd.DataFrame, scores: np.ndarray, truth: np.ndarray) -> Played:
    """What the scores decide, and what that earns."""
    actions = np.asarray(decide_by_value(release.task(), rows, scores, release.card["classes"]))
    return Played(rows, scores, actions, value(release.task(), rows, actions, truth))


def write(
    engine: sa.Engine,
    release: Release,
    played: Played,
    begin: float,
    chance: np.random.Generator,
    name: str,
) -> None:
    """A month of decisions with outcomes, of which 3 % come late."""
    count = len(played.rows)
    times = begin + np.sort(chance.random(count)) * MONTH
    late = np.where(chance.random(count) < 0.03, 2.0, 0.9) * known_after(release.task())
    given = json.loads(
        played.rows[list(release.contract)].to_json(orient="records", double_precision=15)
    )
    made = pd.DataFrame(
        {
            "id": [f"{name}-{i}" for i in range(count)],
            "unit": [f"{name}-{i}" for i in range(count)],
            "row": given,
            "version": VERSION,
            "score": played.scores.tolist(),
            "action": played.actions.astype(str),
            "propensity": 1.0,
            "fallback": False,
            "time": times,
        }
    )
    came = pd.DataFrame(
        {
            "idempotency_key": made["id"],
            "decision": made["id"],
            "value": played.worth,
            "event_time": times + late,
            "arrival_time": times + late,
        }
    )
    insert_frames(engine, {"decisions": made, "outcomes": came})


def found_in(
    engine: sa.Engine, release: Release, held: Promise, old: Played, now: Played, number: int
) -> dict[str, str]:
    """What monitoring says of a month of decisions, two months after the one whose outcomes are known by its end."""
    chance, begin = np.random.default_rng([8, number]), MONTH * 10 * (number + 1)
    for month, played in enumerate([old, now]):
        write(engine, release, played, begin + month * MONTH, chance, f"{number}-{month}")
    seen = look(engine, VERSION, release, begin + 2 * MONTH, MONTH)
    assert seen is not None and seen.now.rows == len(now.rows) and seen.came.known == len(old.rows)
    return findings(VERSION, release, held, seen)


def alarms(live: Live, windows: int) -> None:
    """The share of windows that raise anything, where reference, promise and window are parts of one table, drawn anew each time."""
    release, task = live.release, live.release.task()
    table, scores = (
        pd.read_parquet(live.folder.files / f"{name}.parquet")
        for name in ("dataset", "out_of_fold")
    )
    everything = decided(release, table, scores["score"].to_numpy(), outcome(task, table))
    strongest = list(json.loads((live.folder.files / "dataset.json").read_text())["strengths"])
    raised, what = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        engine = open_decisions(f"sqlite:///{place}/d.db")
        for number in range(windows):
            chance = np.random.default_rng([1, number])
            first, second, old, now = np.split(
                chance.permutation(len(table))[: USUAL + PROMISED + 2 * ROWS],
                np.cumsum([USUAL, PROMISED, ROWS]),
            )
            part = everything.some(second)
            held = Promise(
                inputs(task, table.iloc[first])[
                    [c for c in strongest if c in release.contract]
                ].reset_index(drop=True),
                judged(task, *part, release.card["classes"]),
            )
            found = found_in(
                engine, release, held, everything.some(old), everything.some(now), number
            )
            raised += bool(found)
            what.update(found)
    print(
        f"{windows} windows of {ROWS:,} decisions, {len(held.inputs.columns)} columns, nothing moved: {raised / windows:.3f} raise anything (bar .05 or less, nominal .02)",
        dict(what),
    )


def power(live: Live, windows: int) -> None:
    """The share of windows in which each kind of drift is found, by its size, and by what."""
    release, task = live.release, live.release.task()
    holdout, held, kinds = (
        pd.read_parquet(live.folder.files / "holdout.parquet"),
        promise(release),
        drifts(release.contract),
    )
    with tempfile.TemporaryDirectory() as place:
        engine, number = open_decisions(f"sqlite:///{place}/d.db"), 0
        for kind, sizes in SIZES.items():
            for size in sizes:
                raised, what = 0, Counter[str]()
                for _ in range(windows):
                    chance, number = np.random.default_rng([2, number]), number + 1
                    parts = []
                    for _ in ("old", "now"):
                        rows = holdout.iloc[chance.integers(0, len(holdout), ROWS)].reset_index(
                            drop=True
                        )
                        moved, truth = kinds[kind](rows, outcome(task, rows), size, chance)
                        parts.append(
                            decided(release, moved, np.asarray(release.score(moved)), truth)
                        )
                    found = found_in(engine, release, held, parts[0], parts[1], number)
                    raised += bool(found)
                    what.update(name.split(" with ")[0] for name in found)
                print(
                    f"{kind:<10}{size:>6.2f}{raised / windows:>8.2f}  {dict(what.most_common(4))}",
                    flush=True,
                )


def fill(engine: sa.Engine, live: Live, count: int) -> float:
    """A year of `count` decisions until now, made in the database from the holdout's rows; how many bytes a row as given has."""
    release, rows = live.release, pd.read_parquet(live.folder.files / "holdout.parquet")
    played = decided(release, rows, np.asarray(release.score(rows)), outcome(release.task(), rows))
    given = [
        json.dumps(row)
        for row in json.loads(
            rows[list(release.contract)].to_json(orient="records", double_precision=15)
        )
    ]
    pool = pd.DataFrame(
        {
            "number": range(len(rows)),
            "row": given,
            "score": [json.dumps(s) for s in played.scores.tolist()],
            "action": played.actions,
            "worth": played.worth,
        }
    )
    kind, span, delay = engine.dialect.name, 365 * 86400.0, known_after(release.task()) * 0.9
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
        connection.exec_driver_sql(
            "PRAGMA cache_size = -1000000"
            if kind == "sqlite"
            else "SET session_replication_role = replica"
        )  # which checks no foreign keys
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
    """How long `ml-workflow monitor` takes over a year of so many decisions, and its peak memory."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "reports").mkdir()
        (Path(place) / "reports" / live.folder.folder.name).symlink_to(live.folder.folder.resolve())
        os.environ |= {
            "ML_WORKFLOW_REPORTS": f"{place}/reports",
            "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        register(
            "credit",
            live.folder.files / "release",
            live.release.digest,
            {},
            {},
            {"run": live.folder.folder.name},
        )
        promote("credit", "1")
        engine, began = open_decisions(url or f"sqlite:///{place}/d.db"), time.perf_counter()
        size = fill(engine, live, count)
        print(
            f"{count:,} decisions of {size:.0f} bytes a row in {engine.dialect.name}, made in {time.perf_counter() - began:.0f} s",
            flush=True,
        )
        subprocess.run(
            [
                sys.executable,
                "-c",
                MEASURED,
                sys.executable,
                "-m",
                "ml_workflow.cli",
                "monitor",
                "credit",
                "--days",
                "365",
                "--database",
                url or f"sqlite:///{place}/d.db",
            ],
            check=True,
        )


if __name__ == "__main__":
    what, *more = sys.argv[1:] or ["alarms"]
    if what == "speed":
        speed(newest(), int(more[0]) if more else 10_000_000, more[1] if len(more) > 1 else "")
    else:
        {"alarms": alarms, "power": power}[what](
            newest(), int(more[0]) if more else 200 if what == "alarms" else 20
        )
