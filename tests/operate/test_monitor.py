"""A window of decisions: silent while nothing moves, and loud on each thing that does."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sklearn.ensemble import HistGradientBoostingClassifier

from ml_workflow.data.window import Window, alarms_of, window_of
from ml_workflow.operate.monitor import Seen, by_chance, contract, gaps, monitor, volume
from ml_workflow.operate.simulate import MONTH, Plan, drifts, simulate
from ml_workflow.operate.traffic import HOUR, Came, Traffic, came, sampled, traffic
from ml_workflow.store.committer import write
from ml_workflow.store.database import open_decisions
from ml_workflow.store.decisions import Decision, Outcome, Request, write_outcomes
from tests.conftest import ROOT, workflow
from tests.operate.conftest import Live

PLAN = Plan(months=2, decisions=1500)
NOW = PLAN.begin + 2 * MONTH


def test_the_command_says_each_finding_ends_with_three_and_writes_page_and_figures(
    live: Live,
) -> None:
    assert monitor(live.url, "penguins").findings == {
        "volume": "no decision of penguins in the last 7 days"
    }
    simulate(live.engine, live.version, live.release, live.table, PLAN._replace(drift="broken"))
    report = monitor(live.url, "penguins", days=30, now=NOW)
    column = next(
        iter(
            c for c, rule in live.release.contract.items() if rule["type"] in ("integer", "number")
        )
    )
    assert "PSI" in report.findings[column]
    assert report.decisions == report.looked_at == 1500
    done = workflow(
        "monitor",
        "penguins",
        "--database",
        live.url,
        "--days",
        "4000",
        env=live.env,
        cwd=live.project,
    )
    assert done.returncode == 3 and f"{column}: " in done.stdout and done.stderr == "", (
        done.stdout + done.stderr
    )
    page = Path(done.stdout.rsplit("Read ", 1)[1].strip()).read_text(encoding="utf-8")
    assert f"<th>{column}</th>" in page and "Traceback" not in page
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    figures = (live.project / "var" / "monitor" / "penguins.prom").read_text(encoding="utf-8")
    assert (
        f'ml_workflow_drift_psi{{column="{column}",task="penguins"}} ' in figures
        and 'ml_workflow_decisions{task="penguins"} 3000.0' in figures
    )


def test_nothing_is_found_where_nothing_moved(live: Live) -> None:
    simulate(
        live.engine,
        live.version,
        live.release,
        live.table,
        PLAN._replace(begin=time.time() - 2 * MONTH),
    )
    done = workflow(
        "monitor",
        "penguins",
        "--database",
        live.url,
        "--days",
        "30",
        env=live.env,
        cwd=live.project,
    )
    assert done.returncode == 0 and "nothing moved" in done.stdout, done.stdout + done.stderr


def test_decisions_left_to_chance_are_no_drift_of_the_model(live: Live) -> None:
    simulate(live.engine, live.version, live.release, live.table, PLAN._replace(explore=0.3))
    assert monitor(live.url, "penguins", days=30, now=NOW).findings == {}


def test_outcomes_that_follow_the_inputs_otherwise(live: Live) -> None:
    simulate(
        live.engine,
        live.version,
        live.release,
        live.table,
        PLAN._replace(drift="concept", size=0.5),
    )
    found = monitor(live.url, "penguins", days=30, now=NOW).findings
    assert "were promised" in found["money"]


def test_a_decision_that_is_taken_more_often(live: Live) -> None:
    simulate(live.engine, live.version, live.release, live.table, PLAN)
    with live.engine.begin() as connection:
        most = (
            connection.execute(
                sa.text("SELECT action FROM decisions GROUP BY action ORDER BY COUNT(*) DESC")
            )
            .scalars()
            .first()
        )
        connection.execute(
            sa.text("UPDATE decisions SET action = :most WHERE position % 3 > 0"), {"most": most}
        )
    assert f"{most} " in monitor(live.url, "penguins", days=30, now=NOW).findings["decision rate"]


def test_a_few_rows_beyond_all_that_were_learned_from_are_chance_and_many_are_not(
    live: Live,
) -> None:
    numbers = {c: rule for c, rule in live.release.contract.items() if "max" in rule}
    column = next(iter(numbers))
    rows = pd.concat([live.table] * 20, ignore_index=True)

    def beyond(count: int) -> dict[str, str]:
        return contract(
            live.release,
            rows.assign(
                **{column: np.where(rows.index < count, numbers[column]["max"] + 1, rows[column])}
            ),
        )

    assert (
        beyond(2) == {}
        and f"broken in 200 of {len(rows):,} rows" in beyond(200)[f"contract, {column}"]
    )
    assert by_chance(5, 5000, 5000, 1) and not by_chance(12, 5000, 5000, 1)
    assert not by_chance(1, 100, 1_000_000, 1)


def test_a_decisions_database_that_is_not_there_is_told_in_a_sentence(live: Live) -> None:
    done = workflow(
        "monitor",
        "penguins",
        "--database",
        "postgresql://nobody@127.0.0.1:9/x",
        env=live.env,
        cwd=live.project,
    )
    assert (
        done.returncode == 2 and "does not answer" in done.stderr and "Traceback" not in done.stderr
    )


def busy(hours: dict[int, int]) -> Traffic:
    """Traffic of so many decisions by hour."""
    return Traffic(
        pd.DataFrame(
            {
                "hour": list(hours),
                "version": "t/1",
                "action": "",
                "judged": 1,
                "count": list(hours.values()),
                "first": 0,
                "last": 0,
            }
        )
    )


def seen(hours: dict[int, int]) -> Seen:
    """A window of one week, whose last hour is 335, after another."""
    empty, none = pd.DataFrame(), Came(0, 0, 0, 0, 0.0, 0.0)
    return Seen(busy(hours), 336 * HOUR, 168 * HOUR, empty, empty, empty, none, none)


def test_hours_without_a_decision_where_there_are_always_many() -> None:
    office = {hour: 50 for hour in range(336) if 8 <= hour % 24 < 18}
    assert gaps(seen(office)) == ""  # nights are silent in each week
    assert gaps(seen({hour: n for hour, n in office.items() if not 200 <= hour < 206})).startswith(
        "6 hours without a decision, the first at 1970-01-09 08:00 UTC"
    )


def test_far_fewer_decisions_than_in_the_week_before() -> None:
    assert volume(seen(dict.fromkeys(range(336), 50))) == ""
    assert (
        volume(seen({hour: 50 if hour < 168 else 35 for hour in range(336)}))
        == "5,880 rows came, 8,400 were expected"
    )
    assert volume(seen({0: 20, 200: 14})) == ""  # so few say nothing
    assert (
        volume(seen({160: 500, **dict.fromkeys(range(168, 336), 50)})) == ""
    )  # the week before was not seen whole


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Callable[[], str]
) -> sa.Engine:
    """An empty decisions database of either kind."""
    return open_decisions(f"sqlite:///{tmp_path}/d.db" if request.param == "sqlite" else postgres())


def test_the_sums_of_a_window_are_those_of_its_rows(engine: sa.Engine) -> None:
    chance = np.random.default_rng(3)
    made = [
        Decision(
            unit=f"u{i}",
            row={"a": i},
            version=str(chance.choice(["one/1", "one/2", "one_more/1"])),
            score=[0.5, [0.2, 0.8], None, {"shadow": 0.5}][i % 4],
            action=str(chance.choice(["act", "leave"])),
            time=i * 60.0,
            propensity=float(chance.choice([1.0, 0.1])),
            id=f"d{i}",
        )
        for i in range(2000)
    ]
    write(engine, [Request(made)])
    write_outcomes(
        engine,
        [
            Outcome(
                float(i % 7),
                i * 60.0 + waited,
                i * 60.0 + waited,
                decision=f"d{i}",
                key=f"{i}-{part}",
            )
            for i in range(0, 2000, 2)
            for part, waited in enumerate([50, 200 if i % 3 else 20])
        ],
    )
    rows = pd.DataFrame([vars(one) for one in made]).query(
        "version != 'one_more/1' and 7200 <= time < 90000"
    )
    rows["judged"] = rows["score"].map(lambda s: s is not None and not isinstance(s, dict)) & (
        rows["propensity"] > 0.5
    )
    number = rows["unit"].str[1:].astype(int)
    found = traffic(engine, "one", 7200, 90000, actions=True)
    assert found.rows == len(rows)
    assert (
        found.actions("one/1").to_dict()
        == rows.query("version == 'one/1' and judged")["action"].value_counts().to_dict()
    )
    assert traffic(engine, "one", 7200, 90000).sums["action"].eq("").all()
    known, own = number % 2 == 0, rows["judged"] & (rows["version"] == "one/1") & (number % 2 == 0)
    worth = 2.0 * (number % 7)
    expected = Came(
        len(rows),
        int(known.sum()),
        int((~known | (number % 3 > 0)).sum()),
        int(own.sum()),
        worth[own].sum(),
        (worth[own] ** 2).sum(),
    )
    assert came(engine, "one", "one/1", found, 100) == expected
    hours = found.between(10800, 86400)
    sample = sampled(engine, "one", hours)
    assert (
        len(sample) == hours.rows
        and sample["judged"].sum() == rows[rows["time"].between(10800, 86399)]["judged"].sum()
    )
    assert (
        sample.set_index("unit")["worth"].dropna().to_dict()
        == pd.Series(worth[known].to_numpy(), rows["unit"][known])
        .reindex(sample.dropna(subset=["worth"])["unit"])
        .to_dict()
    )
    assert 0.7 * 300 < len(sampled(engine, "one", hours, 300)) < 1.3 * 300
    engine.dispose()


class Credit(NamedTuple):
    """The real table without its key, a model that learned from other rows of it, and the window that is held against."""

    table: pd.DataFrame
    model: HistGradientBoostingClassifier
    usual: Window

    def window(self, rows: pd.DataFrame, truth: np.ndarray) -> Window:
        """Rows as monitoring sees them when their outcomes are known."""
        scores = self.model.predict_proba(rows)[:, 1]
        return window_of(rows, scores, truth, -np.log(np.where(truth == 1, scores, 1 - scores)))

    def drawn(self, drift: str, size: float, seed: int) -> dict[str, str]:
        """What is said of 5,000 rows with a drift put in."""
        chance = np.random.default_rng(seed)
        rows = self.table.iloc[chance.permutation(len(self.table))[:5000]].reset_index(drop=True)
        kinds = drifts({c: {"type": "number"} for c in rows.columns.drop("default_next_month")})
        moved, truth = kinds[drift](
            rows.drop(columns="default_next_month"),
            rows["default_next_month"].to_numpy(),
            size,
            chance,
        )
        return alarms_of(self.usual, self.window(moved, truth), list(moved), 5000)


@pytest.fixture(scope="module")
def credit() -> Credit:
    """Credit's 30,000 rows in any order: 10,000 learned from, 8,000 held against, the others to draw from."""
    table = (
        pd.read_csv(ROOT / "data" / "credit.csv.gz")
        .drop(columns="customer_id")
        .sample(frac=1, random_state=0, ignore_index=True)
    )
    inputs, truth = table.drop(columns="default_next_month"), table["default_next_month"].to_numpy()
    model = HistGradientBoostingClassifier(max_iter=40, random_state=0).fit(
        inputs[:10000], truth[:10000]
    )
    made = Credit(table[18000:], model, Window(inputs))
    return made._replace(usual=made.window(inputs[10000:18000], truth[10000:18000]))


@pytest.mark.parametrize(
    ("drift", "size"), [("covariate", 0.3), ("seasonal", -0.3), ("concept", 0.3), ("broken", 0.1)]
)
def test_a_drift_of_this_size_that_the_first_window_does_not_show(
    credit: Credit, drift: str, size: float
) -> None:
    assert all(credit.drawn(drift, size, seed) for seed in range(3))


@pytest.mark.parametrize("windows", [20, pytest.param(200, marks=pytest.mark.prove)])
def test_windows_without_drift_that_raise_an_alarm(credit: Credit, windows: int) -> None:
    assert len(credit.usual.inputs.columns) == 23
    assert sum(bool(credit.drawn("none", 0, seed)) for seed in range(windows)) <= 0.05 * windows
