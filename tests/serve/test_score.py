"""Scoring into a database gives the release's scores, each row once, whatever breaks in between."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from tests.conftest import PASSWORD, called
from tests.serve.conftest import Home


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'scores.db'}"
    return str(request.getfixturevalue("postgres")())


def table(url: str, name: str) -> pd.DataFrame:
    """A table of a database, by its unit or else as it is."""
    engine = sa.create_engine(url)
    frame = pd.read_sql_table(name, engine)
    engine.dispose()
    return frame.set_index("unit").sort_index() if "unit" in frame else frame


def score(home: Home, *words: str | Path, **variables: str) -> str:
    """What `score` says of a pass that ends well."""
    command = ["score", home.live.task, *map(str, words)]
    done = called(*command, env=home.env | variables, cwd=home.folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def expected(home: Home) -> pd.DataFrame:
    """The scores and decisions of the holdout, by unit."""
    release, rows = home.live.model.release, home.holdout
    scores = np.asarray(release.score(rows))
    by_name = dict(zip(release.kind.score_names, np.atleast_2d(scores.T), strict=True))
    decisions = release.decide(rows, scores)
    return pd.DataFrame({**by_name, "decision": decisions}, index=rows["row"].rename("unit"))


def same_as_the_release(home: Home, url: str, name: str) -> None:
    found, wanted = table(url, name), expected(home)
    assert list(found.columns) == [*wanted.columns, "version", "time"]
    assert found.index.tolist() == wanted.index.tolist()
    for column in wanted:
        assert found[column].tolist() == wanted[column].tolist(), column


@pytest.mark.parametrize(
    ("task", "target"),
    [("penguins", "sqlite"), ("sexes", "sqlite"), ("masses", "postgresql")],
    indirect=["target"],
)
def test_files_and_tables_get_the_scores_of_the_release(
    homes: dict[str, Home], task: str, target: str, tmp_path: Path
) -> None:
    each = homes[task]
    rows, name = each.holdout, f"{task}_scores"
    files = tmp_path / "rows"
    files.mkdir()
    rows.head(40).to_csv(files / "a.csv", index=False)
    rows.iloc[40:].to_parquet(files / "b.parquet", index=False, row_group_size=7)
    count = f"{len(rows)} rows read: {len(rows)} scored by {task}/1 into {name}"
    assert score(each, "--from", files, "--to", target).startswith(f"{count}, 0 put aside")
    same_as_the_release(each, target, name)
    assert score(each, "--from", files, "--to", target).startswith("0 rows read")
    engine = sa.create_engine(target)
    rows.to_sql("birds", engine, index=False)
    engine.dispose()
    query = ["--query", "SELECT * FROM birds;", "--watermark", "row", "--table", "again"]
    words = ["--from", "${SCORES}", *query, "--to", "${SCORES}"]
    assert score(each, *words, SCORES=target).startswith(f"{len(rows)} rows read")
    same_as_the_release(each, target, "again")
    # the last row comes again, that none equal to it is lost
    assert score(each, *words, SCORES=target).startswith("1 rows read")
    same_as_the_release(each, target, "again")


def test_rows_that_break_the_contract_are_put_aside_once_and_counts_add_up(
    home: Home, target: str, tmp_path: Path
) -> None:
    rows, path = home.holdout, tmp_path / "dirty.csv"
    dirty = pd.concat([rows, rows.tail(3)], ignore_index=True).astype(object)
    dirty.loc[0, "body_mass_g"], dirty.loc[1, "island"], dirty.loc[2, "row"] = "heavy", "?", None
    dirty.to_csv(path, index=False)
    said = score(home, "--from", path, "--to", target)
    assert said.startswith(
        f"{len(rows) + 3} rows read: {len(rows) - 3} scored by penguins/1 into penguins_scores, "
        "3 put aside in penguins_scores_quarantine, 3 gave way"
    )
    path.write_text(path.read_text() + "\n")  # another content: all of it comes again
    score(home, "--from", path, "--to", target)
    aside = table(target, "penguins_scores_quarantine")
    reasons = ["body_mass_g is number", "island is one of 3 categories", "row is not missing"]
    assert sorted(aside["reason"]) == reasons
    assert "?" in {json.loads(row)["island"] for row in aside["row"]}
    assert len(table(target, "penguins_scores")) == len(rows) - 3


@pytest.mark.prove
def test_a_kill_in_mid_run_loses_and_doubles_no_row(
    home: Home, target: str, tmp_path: Path
) -> None:
    rows, path, times = home.holdout, tmp_path / "many.parquet", 4_000
    many = pd.concat([rows] * times, ignore_index=True).assign(row=lambda t: range(len(t)))
    many.to_parquet(path, index=False, row_group_size=20_000)
    command = [sys.executable, "-m", "ml_workflow.cli", "score", "penguins"]
    with subprocess.Popen(
        [*command, "--from", str(path), "--to", target],
        cwd=home.folder,
        env=home.env,
        stdout=subprocess.DEVNULL,
    ) as running:
        engine, some = sa.create_engine(target), 0
        while running.poll() is None and not some:
            time.sleep(0.1)
            if sa.inspect(engine).has_table("penguins_scores"):
                some = len(table(target, "penguins_scores"))
        os.kill(running.pid, signal.SIGKILL)
    engine.dispose()
    assert 0 < some < len(many)
    left = int(score(home, "--from", path, "--to", target).split(" ")[0].replace(",", ""))
    assert left <= len(many) - some
    found, wanted = table(target, "penguins_scores"), expected(home).drop(columns="decision")
    assert found.index.tolist() == list(range(len(many)))
    found_scores = found[list(wanted)].to_numpy().reshape(times, *wanted.shape)
    assert abs(found_scores - wanted.to_numpy()).max() < 1e-12


def test_what_cannot_be_scored_is_refused_in_a_sentence_without_the_password(
    home: Home, tmp_path: Path
) -> None:
    home.holdout.to_csv(tmp_path / "rows.csv", index=False)
    home.holdout.drop(columns="island").to_csv(tmp_path / "lacking.csv", index=False)
    (tmp_path / "empty").mkdir()
    good, rows = f"sqlite:///{tmp_path / 'x.db'}", str(tmp_path / "rows.csv")
    with closing(sqlite3.connect(tmp_path / "x.db")) as other:
        other.execute("CREATE TABLE taken (x)")
    down = f"postgresql://me:{PASSWORD}@127.0.0.1:1/none"
    for task, source, to, more, sentence in (
        ("penguins", "rows.csv", good, [], "does not exist"),
        ("penguins", tmp_path / "empty", good, [], "holds no CSV"),
        ("penguins", tmp_path / "lacking.csv", good, [], "has no column 'island'"),
        ("penguins", good, good, [], "by --query"),
        ("penguins", good, good, ["--query", "SELECT 1", "--every", "1s"], "needs --watermark"),
        ("penguins", good, good, ["--query", "SELECT NULL AS a", "--watermark", "a"], "no a, by"),
        ("penguins", rows, good, ["--table", "taken"], "is of another kind"),
        ("penguins", rows, good, ["--every", "soon"], "60s"),
        ("penguins", rows, down, [], "did not answer"),
        ("whales", rows, good, [], "No release of 'whales'"),
    ):
        words = ["score", task, "--from", str(source), "--to", to, *more]
        done = called(*words, env=home.env, cwd=home.folder)
        assert (done.returncode, done.stdout) == (2, ""), (words, done)
        assert sentence in done.stderr, (words, done.stderr)
        assert "Traceback" not in done.stderr and PASSWORD not in done.stderr


@pytest.mark.prove
def test_every_pass_takes_what_is_new_until_it_is_stopped(
    home: Home, target: str, tmp_path: Path
) -> None:
    rows, folder = home.holdout, tmp_path / "in"
    folder.mkdir()
    rows.head(10).to_csv(folder / "a.csv", index=False)
    command = [sys.executable, "-m", "ml_workflow.cli", "score", "penguins", "--every", "1s"]
    with subprocess.Popen(
        [*command, "--from", str(folder), "--to", target],
        cwd=home.folder,
        env=home.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout and running.stdout.readline().startswith("10 rows read: 10 scored")
        rows.iloc[10:].to_csv(tmp_path / "b.csv", index=False)
        (tmp_path / "b.csv").rename(folder / "b.csv")
        count = "0"
        while count == "0":
            count = running.stdout.readline().split(" ")[0]
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
    assert count == str(len(rows) - 10)
    same_as_the_release(home, target, "penguins_scores")
