"""Any table: awkward ones run to a verdict or are refused in one sentence, and changing the target edits only the task."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import copy_of_the_project, edit, newest, record, surroundings, workflow

RNG = np.random.default_rng(0)
SIZE = 400
SCRIPT = "<img src=x onerror=alert(1)>"
SIGNAL = RNG.normal(size=SIZE)


def plain(**more: object) -> pd.DataFrame:
    """A table with some signal, and more columns."""
    return pd.DataFrame(
        {
            "x": SIGNAL.round(3),
            "y": RNG.normal(size=SIZE).round(3),
            "t": (SIGNAL + RNG.normal(size=SIZE) > 0).astype(int),
        }
        | more
    )


def awkward() -> pd.DataFrame:
    """Names, types and gaps that tables have in the wild, all in one."""
    when = pd.date_range("2025-01-01", periods=SIZE, freq="7h", tz="Europe/Berlin")
    frame = plain(index=RNG.permutation(SIZE), empty=[None] * SIZE)
    frame["target"], frame["a b"], frame["π"] = (
        RNG.integers(0, 9, SIZE),
        RNG.choice(["ja", SCRIPT], SIZE),
        RNG.choice(["é", "ü", None], SIZE),
    )
    frame["yes"], frame["when"], frame["took"] = (
        RNG.random(SIZE) < 0.5,
        RNG.permutation(when.astype(str)),
        pd.to_timedelta(RNG.integers(0, 9999, SIZE), unit="s").astype(str),
    )
    frame[SCRIPT] = np.where(SIGNAL > 0.5, "many", SCRIPT)
    frame["mixed"], frame["level"] = (
        [n if n % 3 else f"n{n}" for n in range(SIZE)],
        [f"level {n}" for n in RNG.permutation(SIZE)],
    )
    return frame.assign(t=frame["t"].where(RNG.random(SIZE) > 0.05).map({0.0: "no", 1.0: "yes"}))


def csv(frame: pd.DataFrame, **options: object) -> bytes:
    """A table as the bytes of a CSV file."""
    return frame.to_csv(index=False, **options).encode("utf-8")  # type: ignore[call-overload, no-any-return]


REFUSED = {
    "three rows": (csv(plain().head(3)), "only .* examples|at least"),
    "one class": (csv(plain(t=[1] * SIZE)), "nothing to predict"),
    "a constant number": (csv(plain(t=[2.5] * SIZE)), "nothing to predict"),
    "names that repeat": (b"x,x,t\n" + b"1,2,0\n2,3,1\n" * 40, "more than one column named 'x'"),
    "a target that is missing": (csv(plain(t=[None] * SIZE)), "nothing to predict"),
    "no such target": (
        csv(plain().rename(columns={"t": "tt"})),
        "has no column 't'.*Did you mean 'tt'",
    ),
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
    content, said = REFUSED[name]
    path = tmp_path / f"{name.replace(' ', '_')}.csv"
    path.write_bytes(content)
    done = workflow("run", str(path), "--target", "t", env=surroundings(tmp_path), cwd=project)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, (
        done.stdout + done.stderr
    )
    import re

    assert re.search(said, done.stderr), done.stderr


def test_an_awkward_table_runs_to_a_verdict(project: Path, tmp_path: Path) -> None:
    (tmp_path / "awkward.csv").write_bytes(b"\xef\xbb\xbf" + csv(awkward(), sep=";"))
    env = surroundings(tmp_path)
    done = workflow(
        "run",
        str(tmp_path / "awkward.csv"),
        "--target",
        "t",
        "--force",
        "-p",
        "time_budget=1",
        "-p",
        "folds=2",
        env=env,
        cwd=project,
    )
    assert done.returncode in (0, 3) and "Traceback" not in done.stdout + done.stderr, (
        done.stdout + done.stderr
    )
    run = record(newest(env))
    assert [s["status"] for s in run["stages"]] == ["done"] * 6
    card = json.loads((newest(env) / "files" / "dataset.json").read_text())
    assert card["leaks"] == [] and card["examples"] < SIZE
    assert [
        page.name
        for page in newest(env).parent.rglob("*.html")
        if SCRIPT in page.read_text(encoding="utf-8")
    ] == []


@pytest.mark.parametrize("form", ["parquet", "jsonl", "xlsx", "folder"])
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
        }[form](path)
    done = workflow("task", str(path), "--target", "t", env=surroundings(tmp_path), cwd=project)
    assert (
        done.returncode == 0
        and "by: time" in next((project / "tasks").glob(f"form-{form}.yaml")).read_text()
    ), done.stdout + done.stderr


@pytest.mark.prove
def test_a_thousand_columns_reach_the_referee(project: Path, tmp_path: Path) -> None:
    wide = plain().join(
        pd.DataFrame(RNG.normal(size=(SIZE, 1000)).round(3), columns=[f"c{n}" for n in range(1000)])
    )
    wide.to_csv(tmp_path / "wide.csv", index=False)
    done = workflow(
        "run",
        str(tmp_path / "wide.csv"),
        "--target",
        "t",
        "--force",
        "--until",
        "02_dataset",
        env=surroundings(tmp_path),
        cwd=project,
    )
    assert (
        done.returncode in (0, 3) and "02_dataset" in done.stdout and "failed" not in done.stdout
    ), done.stdout + done.stderr


def test_another_target_edits_the_task_and_nothing_else(project: Path, tmp_path: Path) -> None:
    task = (project / "tasks" / "penguins.yaml").read_text()
    before = {
        p: p.read_bytes()
        for folder in ("nbs", "ml_workflow")
        for p in (project / folder).rglob("*.*")
        if "__pycache__" not in p.parts
    }
    content = "\n".join(
        [
            "name: sex",
            "question: Is it a male?",
            "unit: row",
            "sources: [{name: penguins, uri: data/penguins.csv.gz}]",
            "target: {column: sex, kind: binary, positive: male}",
            "",
        ]
    )
    assert "column: species" in task
    (project / "tasks" / "sex.yaml").write_text(content)
    env = surroundings(tmp_path)
    done = workflow(
        "run", "sex", "--force", "-p", "time_budget=1", "-p", "folds=2", env=env, cwd=project
    )
    assert done.returncode in (0, 3), done.stdout + done.stderr
    run = record(newest(env))
    assert [s["status"] for s in run["stages"]] == ["done"] * 6 and run["task"] == "sex"
    edit(
        project / "tasks" / "sex.yaml",
        "target: {column: sex, kind: binary, positive: male}",
        "target: {column: body_mass_g, kind: regression}",
    )
    done = workflow(
        "run", "sex", "--force", "-p", "time_budget=1", "-p", "folds=2", env=env, cwd=project
    )
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert "rmse" in record(newest(env))["stages"][4]["verdict"]["figures"]
    assert {p: p.read_bytes() for p in before} == before


def test_private_columns_are_in_no_page_log_or_record(project: Path, tmp_path: Path) -> None:
    frame = plain(
        name=[f"Confidential-{n:04d}" for n in range(SIZE)],
        iban=[f"DE{n:08d}77" for n in RNG.permutation(SIZE)],
    )
    frame.to_csv(tmp_path / "people.csv", index=False)
    env = surroundings(tmp_path)
    assert (
        workflow(
            "task", str(tmp_path / "people.csv"), "--target", "t", env=env, cwd=project
        ).returncode
        == 0
    )
    path = project / "tasks" / "people.yaml"
    path.write_text(path.read_text() + "private: [name, iban]\n")
    done = workflow(
        "run", "people", "--force", "-p", "time_budget=1", "-p", "folds=2", env=env, cwd=project
    )
    assert done.returncode in (0, 3), done.stdout + done.stderr
    folder = newest(env)
    shown = {
        p.name: p.read_text(encoding="utf-8")
        for p in folder.rglob("*")
        if p.suffix in (".html", ".ipynb", ".json", ".yaml")
    } | {"console": done.stdout + done.stderr}
    assert len([n for n in shown if n.endswith(".html")]) == 7  # the stages and the run
    for name, text in shown.items():
        assert "Confidential-" not in text, name
        assert not any(f"DE{n:08d}77" in text for n in range(SIZE)), name
