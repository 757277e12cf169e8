"""Any table runs to a verdict or is refused in a sentence; another target edits only the task."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml_workflow.store.run import STAGES
from tests.conftest import called, copy_of_the_project, newest, record, surroundings, workflow
from tests.whole.test_run import assert_stands_alone

RNG = np.random.default_rng(0)
SIZE = 400
SCRIPT = "<img src=x onerror=alert(1)>"
SECRET = "s3cr3t-7f1d"
SHORT = ["-p", "time_budget=0", "-p", "folds=2"]


def plain(**more: object) -> pd.DataFrame:
    """A table with some signal, and more columns."""
    signal = RNG.normal(size=SIZE)
    target = (signal + RNG.normal(size=SIZE) > 0).astype(int)
    noise = RNG.normal(size=SIZE).round(3)
    return pd.DataFrame({"x": signal.round(3), "y": noise, "t": target} | more)


def awkward() -> pd.DataFrame:
    """No signal, two private columns, and names, types and gaps that tables have in the wild."""
    when = pd.date_range("2025-01-01", periods=SIZE, freq="7h")
    columns = {
        "name": [f"Confidential-{n:04d}" for n in range(SIZE)],
        "iban": [f"DE{n:08d}77" for n in RNG.permutation(SIZE)],
        "index": RNG.permutation(SIZE),
        "empty": [None] * SIZE,
        "target": RNG.integers(0, 9, SIZE),
        "a b": RNG.choice(["ja", SCRIPT], SIZE),
        "π": RNG.choice(["é", "ü", None], SIZE),
        "yes": RNG.random(SIZE) < 0.5,
        "when": RNG.permutation(when.astype(str)),
        SCRIPT: RNG.choice(["many", SCRIPT], SIZE),
        "mixed": [str(n) if n % 3 else f"n{n}" for n in range(SIZE)],
        "level": [f"level {n}" for n in RNG.permutation(SIZE)],
        "t": RNG.choice(["yes", "no", None], SIZE, p=[0.4, 0.55, 0.05]),
    }
    return pd.DataFrame(columns)


def csv(frame: pd.DataFrame) -> bytes:
    """A table as the bytes of a CSV file."""
    return frame.to_csv(index=False).encode("utf-8")


REFUSED = {
    "three rows": (csv(plain().head(3)), "only .* examples|at least"),
    "one class": (csv(plain(t=[1] * SIZE)), "nothing to predict"),
    "names that repeat": (b"x,x,t\n" + b"1,2,0\n2,3,1\n" * 40, "more than one column named 'x'"),
    "a target that is missing": (csv(plain(t=[None] * SIZE)), "nothing to predict"),
    "no such target": (csv(plain().rename(columns={"t": "tt"})), "column 't'.*Did you mean 'tt'"),
    "no rows": (b"x,t\n", "no rows"),
    "an empty file": (b"", "empty"),
    "no table": (b"\x00\x01\x02" * 100, "cannot be read|no column"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, in which tasks are drafted."""
    return copy_of_the_project(tmp_path_factory.mktemp("tables") / "project")


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_teaches_nothing_is_refused_in_one_sentence(
    name: str, project: Path, tmp_path: Path
) -> None:
    content, words = REFUSED[name]
    path = tmp_path / f"{name.replace(' ', '_')}.csv"
    path.write_bytes(content)
    done = called("run", str(path), "--target", "t", env=surroundings(tmp_path), cwd=project)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done
    assert re.search(words, done.stderr), done.stderr


class Awkward:
    """The awkward table in a database that a secret leads to: stopped by a gate, then forced."""

    def __init__(self, folder: Path, project: Path) -> None:
        place = folder / SECRET
        place.mkdir()
        with closing(sqlite3.connect(place / "noise.db")) as connection:
            awkward().to_sql("noise", connection, index=False)
        env = surroundings(folder) | {"NOISE_FOLDER": str(place)}
        uri, query = "sqlite:///${NOISE_FOLDER}/noise.db", "select * from noise"
        words = ["task", uri, "--query", query, "--target", "t"]
        self.drafted = called(*words, env=env, cwd=project)
        with (project / "tasks" / "noise.yaml").open("a") as task:
            task.write("private: [name, iban]\n")
        self.stopped = workflow("run", "noise", *SHORT, env=env, cwd=project)
        self.stop = newest(env)
        self.forced = workflow("run", "noise", "--force", *SHORT, env=env, cwd=project)
        self.force = newest(env)
        self.console = "".join(
            done.stdout + done.stderr for done in (self.drafted, self.stopped, self.forced)
        )


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Awkward:
    return Awkward(tmp_path_factory.mktemp("noise"), project)


def test_a_gate_that_says_stop_ends_the_run_with_three(noise: Awkward) -> None:
    assert (noise.stopped.returncode, noise.stopped.stderr) == (3, ""), noise.console
    run = record(noise.stop)
    statuses = [stage["status"] for stage in run["stages"]]
    assert run["outcome"] == "stop" and statuses == ["done", "stopped"] + ["pending"] * 4
    assert run["stages"][1]["verdict"]["answer"] in noise.stopped.stdout


def test_a_forced_run_of_an_awkward_table_comes_to_its_end_with_three(noise: Awkward) -> None:
    assert noise.forced.returncode == 3, noise.console
    run = record(noise.force)
    statuses = [stage["status"] for stage in run["stages"]]
    assert run["outcome"] == "stop" and set(statuses) <= {"done", "reused"}
    card = json.loads((noise.force / "files" / "dataset.json").read_text())
    assert card["leaks"] == [] and card["examples"] < SIZE
    scores = pd.read_parquet(noise.force / "files" / "scores.parquet")
    current = [f"current_{kind}" for kind in ("score", "decision", "value")]
    assert list(scores.columns[:5]) == ["unit", "outcome", *current]
    assert set(scores["release_decision"]) <= {"act", "leave"}


def test_secrets_stay_in_the_environment_and_names_are_text(noise: Awkward) -> None:
    runs = [path for folder in (noise.stop, noise.force) for path in folder.rglob("*")]
    files = [path for path in runs if path.is_file()]
    assert len(files) > 30 and SECRET not in noise.console
    for path in [*files, noise.stop.parent / "index.html"]:
        assert SECRET.encode() not in path.read_bytes(), path
        if path.suffix == ".html":
            assert SCRIPT.encode() not in path.read_bytes(), path
    assert "${NOISE_FOLDER}" in (noise.force / "files" / "task.yaml").read_text()


def test_private_values_are_in_no_page_log_or_record(noise: Awkward) -> None:
    suffixes = (".html", ".ipynb", ".json", ".yaml")
    pages = [path for path in noise.force.rglob("*") if path.suffix in suffixes]
    assert len([path for path in pages if path.suffix == ".html"]) == 7  # the stages and the run
    texts = {path.name: path.read_text(encoding="utf-8") for path in pages}
    for name, text in (texts | {"console": noise.console}).items():
        assert not re.findall(r"Confidential-\d{4}|DE\d{8}77", text), name
    for stage in STAGES:
        assert_stands_alone(noise.force / f"{stage}.html")


@pytest.mark.parametrize("form", ["parquet", "jsonl", "xlsx", "folder", "csv"])
def test_other_forms_of_a_table_are_drafted_alike(form: str, project: Path, tmp_path: Path) -> None:
    frame = plain(when=pd.date_range("2025-01-01", periods=SIZE, freq="h"))
    path = tmp_path / f"form-{form}"
    if form == "folder":
        path.mkdir()
        frame.head(200).to_csv(path / "1.csv", index=False)
        frame.tail(200).to_csv(path / "2.csv", index=False)
    else:
        path = path.with_suffix(f".{form}")
        {
            "parquet": frame.to_parquet,
            "jsonl": lambda p: frame.to_json(p, orient="records", lines=True, date_format="iso"),
            "xlsx": lambda p: frame.to_excel(p, index=False),
            "csv": lambda p: frame.to_csv(p, index=False, sep=";", encoding="utf-8-sig"),
        }[form](path)
    done = called("task", str(path), "--target", "t", env=surroundings(tmp_path), cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "by: time" in (project / "tasks" / f"form-{form}.yaml").read_text()


@pytest.mark.prove
def test_a_thousand_columns_reach_the_referee(project: Path, tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(1000)]
    more = pd.DataFrame(RNG.normal(size=(SIZE, 1000)).round(3), columns=names)
    plain().join(more).to_csv(tmp_path / "wide.csv", index=False)
    words = ["run", str(tmp_path / "wide.csv"), "--target", "t", "--force", "--until", "02_dataset"]
    done = workflow(*words, env=surroundings(tmp_path), cwd=project)
    assert done.returncode in (0, 3) and "02_dataset" in done.stdout, done.stdout + done.stderr
    assert "failed" not in done.stdout


def test_another_target_edits_the_task_and_nothing_else(project: Path, tmp_path: Path) -> None:
    def files() -> dict[Path, bytes]:
        folders = ((project / name).rglob("*.*") for name in ("nbs", "ml_workflow"))
        found = [path for folder in folders for path in folder]
        return {path: path.read_bytes() for path in found if "__pycache__" not in path.parts}

    before, env = files(), surroundings(tmp_path)
    (project / "tasks" / "mass.yaml").write_text(
        "name: mass\nquestion: How heavy is it?\nunit: row\n"
        "sources: [{name: penguins, uri: data/penguins.csv.gz}]\n"
        "target: {column: body_mass_g, kind: regression}\n"
    )
    done = workflow("run", "mass", "--force", *SHORT, env=env, cwd=project)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    run = record(newest(env))
    assert [s["status"] for s in run["stages"]] == ["done"] * 6 and run["task"] == "mass"
    assert "rmse" in run["stages"][4]["verdict"]["figures"]
    assert files() == before
