"""Any table runs to a verdict or is refused in a sentence; another target edits only the task."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml_workflow.store.run import STAGES
from tests.conftest import (
    called,
    copy_of_the_project,
    newest,
    read_json,
    record,
    surroundings,
    workflow,
)
from tests.whole.test_notebooks import contents
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
    "a target that is missing": (csv(plain(t=[None] * SIZE)), "nothing to predict"),
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


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory, project: Path) -> tuple[Path, str]:
    """A forced run of the awkward table, in a database that a secret leads to, and what it said."""
    folder = tmp_path_factory.mktemp("noise")
    (folder / SECRET).mkdir()
    with closing(sqlite3.connect(folder / SECRET / "noise.db")) as connection:
        awkward().to_sql("noise", connection, index=False)
    env = surroundings(folder) | {"NOISE_FOLDER": str(folder / SECRET)}
    uri, query = "sqlite:///${NOISE_FOLDER}/noise.db", "select * from noise"
    drafted = called("task", uri, "--query", query, "--target", "t", env=env, cwd=project)
    with (project / "tasks" / "noise.yaml").open("a") as task:
        task.write("private: [name, iban]\n")
    forced = workflow("run", "noise", "--force", *SHORT, env=env, cwd=project)
    said = "".join(done.stdout + done.stderr for done in (drafted, forced))
    assert forced.returncode == 3, said
    return newest(env), said


def test_a_forced_run_of_an_awkward_table_comes_to_its_end(noise: tuple[Path, str]) -> None:
    run, _ = noise
    assert record(run)["outcome"] == "stop"
    assert [stage["status"] for stage in record(run)["stages"]] == ["done"] * 6
    card = read_json(run / "files" / "dataset.json")
    assert card["leaks"] == [] and card["examples"] < SIZE
    scores = pd.read_parquet(run / "files" / "scores.parquet")
    current = [f"current_{kind}" for kind in ("score", "decision", "value")]
    assert list(scores.columns[:5]) == ["unit", "outcome", *current]
    assert set(scores["release_decision"]) <= {"act", "leave"}


def test_secrets_and_private_values_are_nowhere_and_names_are_text(noise: tuple[Path, str]) -> None:
    run, said = noise
    files = [path for path in run.rglob("*") if path.is_file()]
    assert len(files) > 30 and SECRET not in said
    texts = {"console": said}
    for path in [*files, run.parent / "index.html"]:
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        if path.suffix in (".html", ".ipynb", ".json", ".yaml"):
            texts[str(path)] = content.decode("utf-8")
    pages = [text for name, text in texts.items() if name.endswith(".html")]
    assert len(pages) == 8 and SCRIPT not in "".join(pages)  # of stages, run and all runs
    for name, text in texts.items():
        assert not re.findall(r"Confidential-\d{4}|DE\d{8}77", text), name
    assert "${NOISE_FOLDER}" in (run / "files" / "task.yaml").read_text()
    for stage in STAGES:
        assert_stands_alone(run / f"{stage}.html")


@pytest.mark.parametrize("form", ["parquet", "jsonl", "xlsx", "folder", "csv"])
def test_other_forms_of_a_table_are_drafted_alike(form: str, project: Path, tmp_path: Path) -> None:
    frame = plain(when=pd.date_range("2025-01-01", periods=SIZE, freq="h"))
    path = tmp_path / f"form-{form}.{form}"
    if form == "folder":
        path.mkdir()
        frame.to_csv(path / "all.csv", index=False)
    elif form == "jsonl":
        frame.to_json(path, orient="records", lines=True, date_format="iso")
    elif form == "csv":
        frame.to_csv(path, index=False, sep=";", encoding="utf-8-sig")
    else:
        frame.to_parquet(path) if form == "parquet" else frame.to_excel(path, index=False)
    done = called("task", str(path), "--target", "t", env=surroundings(tmp_path), cwd=project)
    assert done.returncode == 0, done
    assert "by: time" in (project / "tasks" / f"form-{form}.yaml").read_text()


@pytest.mark.prove
def test_a_thousand_columns_reach_the_referee(project: Path, tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(1000)]
    more = pd.DataFrame(RNG.normal(size=(SIZE, 1000)).round(3), columns=names)
    plain().join(more).to_csv(tmp_path / "wide.csv", index=False)
    words = ["run", str(tmp_path / "wide.csv"), "--target", "t", "--force", "--until", "02_dataset"]
    done = workflow(*words, env=surroundings(tmp_path), cwd=project)
    assert done.returncode in (0, 3) and "02_dataset" in done.stdout, done
    assert "failed" not in done.stdout


def test_another_target_edits_the_task_and_nothing_else(project: Path, tmp_path: Path) -> None:
    before, env = contents(project), surroundings(tmp_path)
    (project / "tasks" / "mass.yaml").write_text(
        "name: mass\nquestion: How heavy is it?\nunit: row\n"
        "sources: [{name: penguins, uri: data/penguins.csv.gz}]\n"
        "target: {column: body_mass_g, kind: regression}\n"
    )
    done = workflow("run", "mass", "--force", *SHORT, env=env, cwd=project)
    assert done.returncode in (0, 3), done
    run = record(newest(env))
    assert [s["status"] for s in run["stages"]] == ["done"] * 6 and run["task"] == "mass"
    assert "rmse" in run["stages"][4]["verdict"]["figures"]
    assert contents(project) == before
