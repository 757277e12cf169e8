"""A window of decisions: silent while nothing moves, and loud on each thing that does."""

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from ml_workflow.operate.monitor import monitor
from ml_workflow.operate.simulate import MONTH, Plan, simulate
from ml_workflow.statistics.window import Window, alarms_of
from ml_workflow.store.decisions import open as opened
from tests.conftest import workflow
from tests.operate.conftest import Live

PLAN = Plan(months=2, decisions=1500)
NOW = PLAN.begin + 2 * MONTH


def test_the_command_says_each_finding_ends_with_three_and_writes_a_page(live: Live) -> None:
    simulate(live.engine, live.version, live.release, live.table, PLAN._replace(drift="broken"))
    report = monitor(live.url, "penguins", days=30, now=NOW)
    column = next(iter(c for c, rule in live.release.contract.items() if rule["type"] in ("integer", "number")))
    assert column in report.findings and "PSI" in report.findings[column]
    assert report.decisions == 1500
    done = workflow("monitor", "penguins", "--database", live.url, "--days", "4000", env=live.env, cwd=live.project)
    assert done.returncode == 3 and f"{column}: " in done.stdout, done.stdout + done.stderr
    page = done.stdout.rsplit("Read ", 1)[1].strip()
    text = open(page, encoding="utf-8").read()  # noqa: SIM115
    assert f"<th>{column}</th>" in text
    figures = (live.project / "var" / "monitor" / "penguins.prom").read_text(encoding="utf-8")
    assert 'ml_workflow_drift_psi{task="penguins",column="' in figures


def test_nothing_is_found_where_nothing_moved(live: Live) -> None:
    simulate(live.engine, live.version, live.release, live.table, PLAN)
    assert monitor(live.url, "penguins", days=30, now=NOW).findings == {}


def test_outcomes_that_follow_the_inputs_otherwise(live: Live) -> None:
    simulate(live.engine, live.version, live.release, live.table, PLAN._replace(drift="concept", size=0.5))
    found = monitor(live.url, "penguins", days=30, now=NOW).findings
    assert {"loss", "money"} <= found.keys()


def test_hours_without_a_decision(live: Live) -> None:
    simulate(live.engine, live.version, live.release, live.table, PLAN._replace(decisions=20000, months=1))
    with live.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM outcomes"))
        connection.execute(sa.text("DELETE FROM decisions WHERE time BETWEEN :a AND :b"), {"a": NOW - 1.5 * MONTH, "b": NOW - 1.5 * MONTH + 5 * 3600})
    found = monitor(live.url, "penguins", days=30, now=PLAN.begin + MONTH).findings
    assert "hours without a decision" in found["gap"]


def test_a_window_without_decisions_is_a_finding(live: Live) -> None:
    done = workflow("monitor", "penguins", "--database", live.url, env=live.env, cwd=live.project)
    assert done.returncode == 3 and "no decision of penguins" in done.stdout


@pytest.mark.parametrize("windows", [20, pytest.param(200, marks=pytest.mark.prove)])
def test_windows_without_drift_that_raise_an_alarm(windows: int) -> None:
    chance = np.random.default_rng(8)

    def window(rows: int) -> Window:
        numbers = chance.normal(size=(rows, 20)) @ MIX
        frame = pd.DataFrame(numbers).add_prefix("x").assign(a=chance.integers(0, 4, rows).astype(str), b=chance.integers(0, 9, rows).astype(str), c=chance.exponential(size=rows))
        return Window(frame, pd.DataFrame({"score 0": chance.random(rows)}), chance.exponential(size=rows), chance.normal(size=rows))

    usual = window(8000)
    raised = sum(bool(alarms_of(usual, window(5000), list(usual.inputs), 5000)) for _ in range(windows))
    assert raised <= 0.05 * windows


MIX = np.eye(20) + 0.3 * np.random.default_rng(0).normal(size=(20, 20))


def test_a_decisions_database_that_is_not_there_is_told_in_a_sentence(live: Live) -> None:
    done = workflow("monitor", "penguins", "--database", "postgresql://nobody@127.0.0.1:9/x", env=live.env, cwd=live.project)
    assert done.returncode == 2 and "does not answer" in done.stderr and "Traceback" not in done.stderr
    assert opened(live.url)
