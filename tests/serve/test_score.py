"""Scoring into a database gives the release's scores, each row once, whatever breaks in between."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import PASSWORD, called
from tests.serve.conftest import Home


def table(url: str, name: str) -> pd.DataFrame:
    """A table of a database, by its unit or else as it is."""
    frame = pd.read_sql_table(name, url)
    return frame.set_index("unit").sort_index() if "unit" in frame else frame


def score(home: Home, *words: str | Path, **variables: str) -> str:
    """What `score` says of a pass that ends well."""
    command = ["score", home.live.task, *map(str, words)]
    done = called(*command, env=home.env | variables, cwd=home.folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@contextmanager
def scoring(home: Home, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """`score` of the penguins as a process."""
    command = [sys.executable, "-m", "ml_workflow.cli", "score", "penguins", *map(str, words)]
    place: Any = {"cwd": home.folder, "env": home.env}
    with subprocess.Popen(command, **place, stdout=subprocess.PIPE, text=True) as running:
        yield running


def expected(home: Home) -> pd.DataFrame:
    """The scores and decisions of the holdout, by unit."""
    release, rows = home.live.model.release, home.holdout
    scores = release.score(rows)
    frame = pd.DataFrame(scores, rows["row"].rename("unit"), release.kind.score_names)
    return frame.assign(decision=release.decide(rows, scores))


def same_as_the_release(home: Home, url: str, name: str) -> None:
    found, wanted = table(url, name), expected(home)
    assert list(found.columns) == [*wanted.columns, "version", "time"]
    pd.testing.assert_frame_equal(found[list(wanted)], wanted, check_exact=True, check_dtype=False)


@pytest.mark.parametrize(
    ("task", "url"),
    [("penguins", "sqlite"), ("sexes", "sqlite"), ("masses", "postgresql")],
    indirect=["url"],
)
def test_files_and_tables_get_the_scores_of_the_release(
    homes: dict[str, Home], task: str, url: str, tmp_path: Path
) -> None:
    each, files = homes[task], tmp_path / "rows"
    rows, name = each.holdout, f"{task}_scores"
    files.mkdir()
    rows.head(40).to_csv(files / "a.csv", index=False)
    rows.iloc[40:].to_parquet(files / "b.parquet", index=False, row_group_size=7)
    rows.to_sql("birds", url, index=False)
    query = ["--query", "SELECT * FROM birds;", "--watermark", "row", "--table", "again"]
    # of a query the last row comes again, that none equal to it is lost
    for words, kept, again in (
        (["--from", files], name, 0),
        (["--from", "${SCORES}", *query], "again", 1),
    ):
        for count in (len(rows), again):
            said = score(each, *words, "--to", "${SCORES}", SCORES=url)
            assert said.startswith(f"{count} rows read: {count} scored by {task}/1 into {kept}, 0 ")
            same_as_the_release(each, url, kept)


def test_rows_that_break_the_contract_are_put_aside_once_and_counts_add_up(
    home: Home, url: str, tmp_path: Path
) -> None:
    rows, path = home.holdout, tmp_path / "dirty.csv"
    dirty = pd.concat([rows, rows.tail(3)], ignore_index=True).astype(object)
    dirty.loc[0, "body_mass_g"], dirty.loc[1, "island"], dirty.loc[2, "row"] = "heavy", "?", None
    dirty.to_csv(path, index=False)
    said = score(home, "--from", path, "--to", url)
    assert said.startswith(
        f"{len(rows) + 3} rows read: {len(rows) - 3} scored by penguins/1 into penguins_scores, "
        "3 put aside in penguins_scores_quarantine, 3 gave way"
    )
    path.write_text(path.read_text() + "\n")  # another content: all of it comes again
    score(home, "--from", path, "--to", url)
    aside = table(url, "penguins_scores_quarantine")
    reasons = ["body_mass_g is number", "island is one of 3 categories", "row is not missing"]
    assert sorted(aside["reason"]) == reasons
    assert "?" in {json.loads(row)["island"] for row in aside["row"]}
    assert len(table(url, "penguins_scores")) == len(rows) - 3


@pytest.mark.prove
def test_a_kill_in_mid_run_loses_and_doubles_no_row(home: Home, url: str, tmp_path: Path) -> None:
    path, times, some = tmp_path / "many.parquet", 4_000, 0
    many = pd.concat([home.holdout] * times, ignore_index=True)
    many["row"] = many.index
    many.to_parquet(path, index=False, row_group_size=20_000)
    with scoring(home, "--from", path, "--to", url) as running:
        while running.poll() is None and not some:
            time.sleep(0.1)
            with suppress(ValueError):  # no table yet
                some = len(table(url, "penguins_scores"))
        running.kill()
    assert 0 < some < len(many)
    left = int(score(home, "--from", path, "--to", url).split(" ")[0].replace(",", ""))
    assert left <= len(many) - some
    found, wanted = table(url, "penguins_scores"), expected(home).drop(columns="decision")
    assert found.index.tolist() == many.index.tolist()
    assert np.allclose(found[list(wanted)], np.tile(wanted, (times, 1)), 0, 1e-12)


def test_what_cannot_be_scored_is_refused_in_a_sentence_without_the_password(
    home: Home, tmp_path: Path
) -> None:
    home.holdout.to_csv(tmp_path / "rows.csv", index=False)
    home.holdout.drop(columns="island").to_csv(tmp_path / "lacking.csv", index=False)
    (tmp_path / "empty").mkdir()
    good, rows = f"sqlite:///{tmp_path / 'x.db'}", f"{tmp_path / 'rows.csv'}"
    home.holdout.to_sql("taken", good)
    down = f"postgresql://me:{PASSWORD}@127.0.0.1:1/none"
    query = [good, "--to", good, "--query"]
    for task, words, sentence in (
        ("penguins", ["rows.csv", "--to", good], "does not exist"),
        ("penguins", [tmp_path / "empty", "--to", good], "holds no CSV"),
        ("penguins", [tmp_path / "lacking.csv", "--to", good], "has no column 'island'"),
        ("penguins", [good, "--to", good], "by --query"),
        ("penguins", [*query, "SELECT 1", "--every", "1s"], "needs --watermark"),
        ("penguins", [*query, "SELECT NULL AS a", "--watermark", "a"], "no a, by"),
        ("penguins", [rows, "--to", good, "--table", "taken"], "is of another kind"),
        ("penguins", [rows, "--to", good, "--every", "soon"], "60s"),
        ("penguins", [rows, "--to", down], "did not answer"),
        ("whales", [rows, "--to", good], "No release of 'whales'"),
    ):
        done = called("score", task, "--from", *map(str, words), env=home.env, cwd=home.folder)
        assert (done.returncode, done.stdout) == (2, ""), (words, done)
        assert sentence in done.stderr, (words, done.stderr)
        assert "Traceback" not in done.stderr and PASSWORD not in done.stderr


@pytest.mark.prove
def test_every_pass_takes_what_is_new_until_it_is_stopped(
    home: Home, url: str, tmp_path: Path
) -> None:
    rows, folder = home.holdout, tmp_path / "in"
    folder.mkdir()
    rows.head(10).to_csv(folder / "a.csv", index=False)
    with scoring(home, "--every", "1s", "--from", folder, "--to", url) as running:
        assert running.stdout.readline().startswith("10 rows read: 10 scored")
        rows.iloc[10:].to_csv(tmp_path / "b.csv", index=False)
        (tmp_path / "b.csv").rename(folder / "b.csv")
        counts = (line.split(" ")[0] for line in running.stdout)
        assert next(count for count in counts if count != "0") == str(len(rows) - 10)
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
    same_as_the_release(home, url, "penguins_scores")
