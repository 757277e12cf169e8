"""Scoring into a database gives the notebook's scores, each row once, whatever breaks in between."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from ml_workflow.model.registry import promote, register
from ml_workflow.model.release import contents, digest_of
from ml_workflow.serve.score import as_promised
from tests.conftest import PASSWORD, ROOT, called, record, surroundings, workflow


@pytest.fixture(scope="module")
def serving(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose champion is the finished run's release."""
    env = surroundings(tmp_path_factory.mktemp("serving"))
    release = finished / "files" / "release"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", env["MLFLOW_TRACKING_URI"])
        promote(
            "penguins",
            register(
                "penguins", release, digest_of(contents(release)), {}, {}, {"run": finished.name}
            ),
        )
    return env


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'scores.db'}"
    return str(request.getfixturevalue("postgres")())


def table(url: str, name: str) -> pd.DataFrame:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        frame = pd.read_sql(sa.text(f'SELECT * FROM "{name}"'), connection)
    engine.dispose()
    return frame


def scored(*words: str, env: dict[str, str]) -> str:
    """What `score` says of a pass that ends well."""
    done = called("score", *words, env=env)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def holdout(run: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The holdout's rows, and what 04 scored them."""
    return pd.read_parquet(run / "files" / "holdout.parquet"), pd.read_parquet(
        run / "files" / "scores.parquet"
    ).set_index("unit").sort_index()


def equal_to_the_notebook(found: pd.DataFrame, promised: pd.DataFrame) -> None:
    found = (
        found.assign(unit=found["unit"].astype(promised.index.dtype)).set_index("unit").sort_index()
    )  # SQLite keeps moments as text
    assert list(found.index) == list(promised.index)
    for name in found.columns.drop(["version", "time"]):
        assert found[name].tolist() == promised[f"release_{name}"].tolist(), name


def test_files_and_tables_get_the_scores_of_the_notebook(
    finished: Path, serving: dict[str, str], target: str, tmp_path: Path
) -> None:
    rows, promised = holdout(finished)
    files = tmp_path / "rows"
    files.mkdir()
    rows.head(40).to_csv(files / "a.csv", index=False)
    rows.iloc[40:].to_parquet(files / "b.parquet", index=False, row_group_size=7)
    said = scored("penguins", "--from", str(files), "--to", target, env=serving)
    assert said.startswith(
        f"{len(rows)} rows read: {len(rows)} scored by penguins/1 into penguins_scores, 0 put aside"
    )
    equal_to_the_notebook(table(target, "penguins_scores"), promised)
    assert scored("penguins", "--from", str(files), "--to", target, env=serving).startswith(
        "0 rows read"
    )
    engine = sa.create_engine(target)
    rows.to_sql("birds", engine, index=False)
    engine.dispose()
    variable = serving | {"SCORES_URL": target}
    words = (
        "penguins",
        "--from",
        "${SCORES_URL}",
        "--query",
        "SELECT * FROM birds;",
        "--watermark",
        "row",
        "--to",
        "${SCORES_URL}",
        "--table",
        "again",
    )
    assert scored(*words, env=variable).startswith(f"{len(rows)} rows read")
    equal_to_the_notebook(table(target, "again"), promised)
    assert scored(*words, env=variable).startswith(
        "1 rows read"
    )  # the last row, that none equal to it is lost
    equal_to_the_notebook(table(target, "again"), promised)


@pytest.mark.prove
def test_rows_that_break_the_contract_are_put_aside_once_and_counts_add_up(
    finished: Path, serving: dict[str, str], target: str, tmp_path: Path
) -> None:
    rows, _ = holdout(finished)
    dirty = pd.concat([rows, rows.tail(3)]).astype({"body_mass_g": object, "row": object})
    dirty.iloc[0, dirty.columns.get_loc("body_mass_g")] = "heavy"
    dirty.iloc[1, dirty.columns.get_loc("island")] = "Atlantis"
    dirty.iloc[2, dirty.columns.get_loc("row")] = None
    path = tmp_path / "dirty.csv"
    dirty.to_csv(path, index=False)
    said = scored("penguins", "--from", str(path), "--to", target, env=serving)
    assert said.startswith(
        f"{len(rows) + 3} rows read: {len(rows) - 3} scored by penguins/1 into penguins_scores, 3 put aside in penguins_scores_quarantine, 3 gave way"
    )
    path.write_text(path.read_text() + "\n")  # another content: all of it comes again
    scored("penguins", "--from", str(path), "--to", target, env=serving)
    aside = table(target, "penguins_scores_quarantine")
    assert sorted(aside["reason"]) == [
        "body_mass_g is number",
        "island is one of 3 categories",
        "row is not missing",
    ]
    assert {json.loads(row)["island"] for row in aside["row"]} >= {"Atlantis"}
    assert len(table(target, "penguins_scores")) == len(rows) - 3


@pytest.mark.prove
def test_a_kill_in_mid_run_loses_and_doubles_no_row(
    finished: Path, serving: dict[str, str], target: str, tmp_path: Path
) -> None:
    rows, promised = holdout(finished)
    many = pd.concat([rows] * 6000, ignore_index=True)
    many["row"] = range(len(many))
    many.to_parquet(tmp_path / "many.parquet", index=False, row_group_size=20_000)
    words = ("score", "penguins", "--from", str(tmp_path / "many.parquet"), "--to", target)
    running = subprocess.Popen(
        [sys.executable, "-m", "ml_workflow.cli", *words],
        cwd=ROOT,
        env=serving,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    engine = sa.create_engine(target)
    some = 0
    while running.poll() is None and not some:
        time.sleep(0.1)
        with engine.connect() as connection:
            if sa.inspect(connection).has_table("penguins_scores"):
                some = connection.execute(
                    sa.text("SELECT COUNT(*) FROM penguins_scores")
                ).scalar_one()
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    engine.dispose()
    assert 0 < some < len(many)
    left = int(scored(*words[1:], env=serving).split(" rows read")[0].replace(",", ""))
    assert left <= len(many) - some
    found = table(target, "penguins_scores").sort_values("unit", ignore_index=True)
    assert found["unit"].tolist() == list(range(len(many)))
    columns = ["score_Adelie", "score_Chinstrap", "score_Gentoo"]
    usual = promised.loc[rows["row"], [f"release_{c}" for c in columns]].to_numpy()
    assert abs(found[columns].to_numpy().reshape(6000, *usual.shape) - usual).max() < 1e-12


def test_what_cannot_be_scored_is_refused_in_a_sentence_without_the_password(
    finished: Path, serving: dict[str, str], tmp_path: Path
) -> None:
    rows, _ = holdout(finished)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.drop(columns="island").to_csv(tmp_path / "lacking.csv", index=False)
    good = f"sqlite:///{tmp_path / 'x.db'}"
    with closing(sqlite3.connect(tmp_path / "x.db")) as other:
        other.execute("CREATE TABLE taken (x)")
    down = f"postgresql://me:{PASSWORD}@127.0.0.1:1/none"
    for words, sentence in (
        (("--from", "rows.csv", "--to", good), "does not exist"),
        (("--from", str(tmp_path / "lacking.csv"), "--to", good), "has no column 'island'"),
        (("--from", good, "--to", good), "by --query"),
        (
            ("--from", good, "--query", "SELECT 1", "--every", "1s", "--to", good),
            "needs --watermark",
        ),
        (
            ("--from", str(tmp_path / "rows.csv"), "--to", good, "--table", "taken"),
            "is of another kind",
        ),
        (("--from", str(tmp_path / "rows.csv"), "--to", good, "--every", "soon"), "60s"),
        (("--from", str(tmp_path / "rows.csv"), "--to", down), "did not answer"),
    ):
        done = called("score", "penguins", *words, env=serving)
        assert (done.returncode, done.stdout) == (2, ""), (words, done)
        assert (
            sentence in done.stderr
            and "Traceback" not in done.stderr
            and PASSWORD not in done.stderr
        ), (words, done.stderr)
    assert called("score", "whales", "--from", "a", "--to", good, env=serving).returncode == 2


@pytest.mark.prove
def test_every_pass_takes_what_is_new_until_it_is_stopped(
    finished: Path, serving: dict[str, str], target: str, tmp_path: Path
) -> None:
    rows, promised = holdout(finished)
    (tmp_path / "in").mkdir()
    rows.head(10).to_csv(tmp_path / "in" / "a.csv", index=False)
    words = [
        sys.executable,
        "-m",
        "ml_workflow.cli",
        "score",
        "penguins",
        "--from",
        str(tmp_path / "in"),
        "--to",
        target,
        "--every",
        "1s",
    ]
    with subprocess.Popen(
        words, cwd=ROOT, env=serving, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout and running.stdout.readline().startswith("10 rows read: 10 scored")
        rows.iloc[10:].to_csv(tmp_path / "b.csv", index=False)
        (tmp_path / "b.csv").rename(tmp_path / "in" / "b.csv")
        counts = ["0"]
        while counts[-1] == "0":
            counts.append(running.stdout.readline().split(" ")[0])
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
    assert counts[-1] == str(len(rows) - 10)
    equal_to_the_notebook(table(target, "penguins_scores"), promised)


@pytest.mark.prove
@pytest.mark.parametrize("task", ["bikes", "credit"])
def test_regression_and_two_classes_get_the_scores_of_the_notebook(
    task: str, serving: dict[str, str], target: str, tmp_path: Path
) -> None:
    done = workflow(
        "run", task, "--until", "04_scale", "--force", "-p", "time_budget=2", env=serving
    )
    assert done.returncode in (0, 3), done.stderr
    assert called("promote", task, "challenger", env=serving).returncode == 0
    run = (Path(serving["ML_WORKFLOW_REPORTS"]) / "latest").resolve()
    assert record(run)["task"] == task
    rows, promised = holdout(run)
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    scored(task, "--from", str(tmp_path / "rows.parquet"), "--to", target, env=serving)
    found, aside = table(target, f"{task}_scores"), table(target, f"{task}_scores_quarantine")
    assert len(found) + len(aside) == len(rows) and len(found) > 0.9 * len(rows)
    equal_to_the_notebook(found, promised.loc[found["unit"].sort_values()])


@pytest.mark.parametrize(
    "truths",
    [[True, False, True], [1, 0, 1], [True, None, False], pd.array([True, None], dtype="boolean")],
)
def test_truths_stay_what_they_are_however_they_are_kept(truths: Any) -> None:
    column = pd.Series(truths)
    read = as_promised({"member": {"type": "boolean"}}, pd.DataFrame({"member": column}))["member"]
    assert (
        read.isna().tolist() == column.isna().tolist()
        and read.dropna().astype(bool).tolist() == column.dropna().astype(bool).tolist()
    )


def test_times_with_and_without_an_offset_are_the_same_moments() -> None:
    kept = pd.DataFrame({"seen": ["2026-01-01T00:00:00", "2026-01-01T01:00:00+01:00", None]})
    read = as_promised({"seen": {"type": "time"}}, kept)["seen"]
    assert read.iloc[0] == read.iloc[1] == pd.Timestamp("2026-01-01") and pd.isna(read.iloc[2])
