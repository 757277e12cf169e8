"""A run's folder: a true record, six pages that stand alone, figures that can be computed again."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from tests.conftest import ROOT, copy_of_the_project, edit, newest, record, surroundings, workflow

STAGES = ("00_define", "01_research", "02_dataset", "03_poc", "04_scale", "05_abtest")
SECRET = "s3cr3t-7f1d"
NOISE = """
name: noise
question: Is there anything in it?
unit: customer
sources: [{name: noise, uri: "sqlite:///${NOISE_FOLDER}/noise.db", query: select * from noise}]
target: {column: bought, kind: binary, positive: "yes"}
private: [customer, postcode]
"""


def statuses(run: dict[str, Any]) -> list[str]:
    """The status of each stage."""
    return [stage["status"] for stage in run["stages"]]


def visible(page: str) -> str:
    """A page without its scripts and styles."""
    return re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)


def figures(page: str) -> list[str]:
    """The PNG figures of a page; the icons in its styles are none."""
    return re.findall(r"<img[^>]+src=\"data:image/png;base64,([^\"]+)", visible(page))


def test_the_record_is_as_documented(finished: Path) -> None:
    run = record(finished)
    assert set(run) == {"run", "task", "parameters", "stages", "outcome", "versions"}
    assert run["run"] == finished.name and re.fullmatch(
        r"penguins-\d{8}T\d{6}-[0-9a-f]{6}", run["run"]
    )
    assert run["task"] == "penguins" and run["parameters"] == {"04_scale": {"time_budget": 2}}
    assert run["outcome"] in ("ship", "keep running", "stop")
    assert {"python", "ml_workflow", "scikit-learn"} <= set(run["versions"])
    assert run["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert tuple(s["name"] for s in run["stages"]) == STAGES and statuses(run) == ["done"] * 6
    for stage in run["stages"]:
        assert stage["seconds"] > 0 and re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stage["started"]
        )
        assert set(stage["inputs"]) == {"notebook", "parameters", "files", "modules"}
        hashes = [
            stage["inputs"]["notebook"],
            stage["inputs"]["parameters"],
            *stage["inputs"]["files"].values(),
            *stage["inputs"]["modules"].values(),
        ]
        assert all(re.fullmatch(r"[0-9a-f]{64}", sha) for sha in hashes)
        assert stage["verdict"]["go"] is True and stage["verdict"]["answer"].endswith((".", "!"))
    assert [s["started"] for s in run["stages"]] == sorted(s["started"] for s in run["stages"])


def test_the_record_names_what_each_stage_read_and_nothing_else(finished: Path) -> None:
    from hashlib import sha256

    read = {s["name"]: s["inputs"] for s in record(finished)["stages"]}
    assert set(read["00_define"]["files"]) == {"tasks/penguins.yaml", "data/penguins.csv.gz"}
    assert {"task.yaml", "dataset.parquet"} <= set(read["03_poc"]["files"])
    assert "holdout.parquet" in read["04_scale"]["files"]
    for stage in ("01_research", "03_poc"):
        assert "holdout.parquet" not in read[stage]["files"]
    assert "scores.parquet" in read["05_abtest"]["files"]
    for number, stage in enumerate(STAGES):
        modules = {Path(name).stem for name in read[stage]["modules"] if name.count("/") == 1}
        assert not modules & {later[3:] for later in STAGES[number + 1 :]}
        for name, sha in {**read[stage]["files"], **read[stage]["modules"]}.items():
            path = (
                finished / "files" / name if (finished / "files" / name).exists() else ROOT / name
            )
            assert path.is_dir() or sha256(path.read_bytes()).hexdigest() == sha, name


@pytest.mark.parametrize("stage", ["00_define", "01_research", "03_poc", "04_scale", "05_abtest"])
def test_money_comes_with_lower_estimate_and_upper(finished: Path, stage: str) -> None:
    said = next(s for s in record(finished)["stages"] if s["name"] == stage)["verdict"]["figures"]
    money = {name: figure for name, figure in said.items() if name.endswith("_per_month")}
    assert money
    for lower, estimate, upper in money.values():
        assert lower <= estimate <= upper


@pytest.mark.parametrize("stage", STAGES)
def test_a_page_stands_alone_and_shows_a_figure(finished: Path, stage: str) -> None:
    page = finished / f"{stage}.html"
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 3_000_000
    assert not re.findall(
        r"<(?:script|link|img|iframe|object|embed|source)\b[^>]*?(?:src|href|data)\s*=\s*[\"']?(?:https?:)?//",
        text,
    )
    assert not re.findall(r"url\(\s*[\"']?(?:https?:)?//|@import", text)
    assert any(len(figure) > 5000 for figure in figures(text))
    assert not re.findall(r"\w+Warning\b|Traceback|/site-packages/", visible(text))
    assert record(finished)["stages"][STAGES.index(stage)]["verdict"]["answer"].split("'")[
        0
    ] in text.replace("&#39;", "'")
    assert "jp-InputArea-editor" not in visible(text)


@pytest.mark.parametrize("stage", STAGES)
def test_an_executed_notebook_is_kept_without_a_warning(finished: Path, stage: str) -> None:
    notebook = nbformat.read(finished / f"{stage}.ipynb", as_version=4)
    said = [
        o.text
        for c in notebook.cells
        for o in c.get("outputs", [])
        if o.output_type == "stream" and o.name == "stderr"
    ]
    assert not said
    assert all(c.execution_count for c in notebook.cells if c.cell_type == "code" and c.source)


def test_scores_hold_every_process_on_every_holdout_row(finished: Path) -> None:
    scores, holdout = (
        pd.read_parquet(finished / "files" / f"{name}.parquet") for name in ("scores", "holdout")
    )
    classes = ("Adelie", "Chinstrap", "Gentoo")
    processes = ("current", "dummy", "poc", "release")
    columns = [
        f"{p}_{what}"
        for p in processes
        for what in (*(f"score_{c}" for c in classes), "decision", "value")
    ]
    assert list(scores.columns) == ["unit", "outcome", *columns]
    assert list(scores["unit"]) == list(holdout["row"]) and list(scores["outcome"]) == list(
        holdout["species"]
    )
    for process in processes:
        assert np.allclose(scores.filter(regex=f"^{process}_score_").sum(axis=1), 1)
        right = scores[f"{process}_decision"] == scores["outcome"]
        assert np.allclose(scores[f"{process}_value"], np.where(right, 10, -25))
    assert scores["dummy_decision"].nunique() == 1
    rule = np.where(
        holdout["flipper_length_mm"] > 206,
        "Gentoo",
        np.where(holdout["island"] == "Dream", "Chinstrap", "Adelie"),
    )
    assert list(scores["current_decision"]) == list(rule)


def test_the_ab_figures_follow_from_the_rows_of_the_decisions_table(finished: Path) -> None:
    """By SQL and the formulas of Welch and of CUPED, written anew."""
    said = json.loads((finished / "files" / "decision.json").read_text(encoding="utf-8"))
    with closing(sqlite3.connect(finished / "files" / "decisions.db")) as connection:
        rows = connection.execute(
            "select arm_assigned, count(*), avg(value), sum(value * value) from exposures join decisions using (unit)"
            " join outcomes on decision = decisions.id group by 1 order by 1"
        ).fetchall()
        served = connection.execute(
            "select count(*) from exposures where arm_assigned <> arm_served"
        ).fetchone()[0]
    assert [arm for arm, *_ in rows] == ["current", "release"] and served == 0
    (_, n, mean, squares), (_, m, new_mean, new_squares) = rows
    assert (said["sums"]["current"]["units"], said["sums"]["release"]["units"]) == (n, m)
    assert n + m == len(pd.read_parquet(finished / "files" / "holdout.parquet"))
    net = said["net_value_per_month"]
    x, xx, xy = (
        {arm: said["sums"][arm][key] for arm in ("current", "release")} for key in ("x", "xx", "xy")
    )
    slope = sum(
        xy[arm] - x[arm] * k * z / k
        for arm, k, z in (("current", n, mean), ("release", m, new_mean))
    ) / sum(xx[arm] - x[arm] ** 2 / k for arm, k in (("current", n), ("release", m)))
    difference = new_mean - mean - slope * (x["release"] / m - x["current"] / n)
    spread, new_spread = (
        (squares - n * mean**2) / (n - 1) / n,
        (new_squares - m * new_mean**2) / (m - 1) / m,
    )
    assert net[1] == pytest.approx(difference * 400 - 100)
    assert (
        net[2] - net[0]
        > 2 * student.ppf(0.975, n + m - 2) * np.sqrt(spread + new_spread) * 400 * 0.8
    ), "bounds for every look are wider than Welch's for one, even after CUPED"
    assert record(finished)["stages"][5]["verdict"]["figures"][
        "net_value_per_month"
    ] == pytest.approx(net)
    assert said["roi"] == pytest.approx([(value * 12 - 5000) / 5000 for value in net])
    blocked = [check["said"] for check in said["checks"] if not check["passed"]]
    assert said["outcome"] == (
        "keep running"
        if blocked
        else "ship"
        if net[0] > 0
        else "stop"
        if net[2] < 0
        else "keep running"
    )
    assert all(fault in said["answer"] for fault in blocked)
    scores = pd.read_parquet(finished / "files" / "scores.parquet")
    paired = (scores["release_value"] - scores["current_value"]).mean() * 400 - 100
    assert said["paired"][1] == pytest.approx(paired)


def test_a_table_from_elsewhere_decides_the_run(
    finished: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """Only 05 runs anew; 1,000 units an arm, one worth 2 $ more each decision: ship, and with equal arms in A/A mode the plumbing holds."""
    g = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "user": range(2000),
            "arm": ["A", "B"] * 1000,
            "revenue": g.normal(10, 3, 2000) + np.tile([0, 2.0], 1000),
            "ts": pd.date_range("2026-11-01", periods=2000, freq="1h"),
        }
    )
    table.to_csv(tmp_path / "elsewhere.csv", index=False)
    given = [
        "-p",
        "time_budget=2",
        "-p",
        f"evidence={tmp_path / 'elsewhere.csv'}",
        "-p",
        "mapping=user=unit,revenue=value,ts=time,A=current,B=release",
    ]
    done = workflow("run", "penguins", *given, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads((newest(env) / "files" / "decision.json").read_text(encoding="utf-8"))
    assert (
        said["outcome"] == "ship"
        and said["command"] == "ml-workflow promote penguins challenger"
        and said["sums"]["release"]["units"] == 1000
    )
    assert (
        said["net_value_per_month"][0] > 0
        and "no planned number of units" in said["checks"][-1]["said"]
    )
    done = workflow("run", "penguins", *given, "-p", "aa=true", env=env)
    assert done.returncode == 3 and "The A/A test fails" in done.stdout


def test_latest_and_the_index_lead_to_the_run(finished: Path) -> None:
    reports = finished.parent
    assert (reports / "latest").is_symlink()
    index = (reports / "index.html").read_text(encoding="utf-8")
    assert finished.name in index and not re.findall(
        r"<(?:script|link|img)[^>]+(?:src|href)=[\"']https?:", index
    )


def test_an_unchanged_run_reuses_every_stage(finished: Path, env: dict[str, str]) -> None:
    done = workflow("run", "penguins", "-p", "time_budget=2", env=env)
    latest = (finished.parent / "latest").resolve()
    assert done.returncode == 0 and latest != finished, done.stderr
    run, first = record(latest), record(finished)
    assert statuses(run) == ["reused"] * 6
    assert {s["from"] for s in run["stages"]} == {finished.name} and run["outcome"] == first[
        "outcome"
    ]
    assert [s["verdict"] for s in run["stages"]] == [s["verdict"] for s in first["stages"]]
    for name in (
        "05_abtest.html",
        "05_abtest.ipynb",
        "files/scores.parquet",
        "files/release/estimator.skops",
    ):
        assert (latest / name).samefile(finished / name)
    assert {finished.name, latest.name} <= set(
        re.findall(
            r"penguins-\w+-\w+", (finished.parent / "index.html").read_text(encoding="utf-8")
        )
    )


def test_a_parameter_of_one_stage_runs_that_stage_and_until_ends_there(
    finished: Path, env: dict[str, str]
) -> None:
    done = workflow("run", "penguins", "-p", "03_poc.folds=3", "--until", "poc", env=env)
    run = record(newest(env))
    assert done.returncode == 0, done.stdout + done.stderr
    assert statuses(run) == ["reused"] * 3 + ["done", "pending", "pending"]
    assert run["outcome"] == "pending" and run["parameters"] == {"03_poc": {"folds": 3}}


def test_papermill_runs_a_stage_by_itself_after_a_run(
    finished: Path, env: dict[str, str], tmp_path: Path
) -> None:
    command = [
        str(Path(sys.executable).parent / "papermill"),
        "nbs/03_poc.ipynb",
        str(tmp_path / "out.ipynb"),
        "-p",
        "folds",
        "3",
    ]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    shown = "\n".join(str(o) for c in cells for o in c.get("outputs", []))
    assert (
        "folds = 3" in "\n".join(c.source for c in cells)
        and "read from the newest run" in shown
        and 'class="verdict"' in shown
    )
    assert (finished.parent / "lab" / "files" / "proof.json").exists()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose functions of stage 02 differ."""
    place = copy_of_the_project(tmp_path_factory.mktemp("house"))
    for name in ("nbs/02_dataset.ipynb", "ml_workflow/dataset.py"):
        quote = '\\"' if name.endswith("ipynb") else '"'
        edit(
            place / name,
            f"{quote}No features: the table as it is.{quote}",
            f"{quote}No features.{quote}",
        )
    return place


def test_an_edit_in_a_stage_runs_that_stage_and_reuses_those_before(
    finished: Path, env: dict[str, str], house: Path
) -> None:
    done = workflow("run", "penguins", "--until", "02", env=env, cwd=house)
    assert done.returncode == 0, done.stderr
    run = record(newest(env))
    assert statuses(run) == ["reused", "reused", "done", "pending", "pending", "pending"]
    assert {s.get("from") for s in run["stages"][:2]} == {finished.name}


def test_a_broken_notebook_is_a_fault_of_ours_in_a_sentence(
    finished: Path, env: dict[str, str], house: Path
) -> None:
    edit(
        house / "nbs" / "02_dataset.ipynb",
        '"features = feature_step(this_task)\\n"',
        '"features = 1 / 0\\n"',
    )
    done = workflow("run", "penguins", env=env, cwd=house)
    assert done.returncode == 1, done.stdout + done.stderr
    assert (
        done.stderr.count("\n") == 1
        and "02_dataset" in done.stderr
        and "division by zero" in done.stderr
        and "Traceback" not in done.stderr
    )
    folder = newest(env)
    run = record(folder)
    assert (
        statuses(run) == ["reused", "reused", "failed"] + ["pending"] * 3
        and run["outcome"] == "failed"
    )
    assert "ZeroDivisionError" in (folder / "02_dataset.ipynb").read_text(encoding="utf-8")
    assert folder.name in (folder.parent / "index.html").read_text(encoding="utf-8")


class Noise:
    """Two runs of a task without signal, on a database that a secret leads to and with private columns."""

    def __init__(self, folder: Path) -> None:
        self.private = [f"customer-{number:05d}-of-ours" for number in range(400)]
        place = folder / SECRET
        place.mkdir()
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(
            {
                "customer": self.private,
                "postcode": [f"PC{n % 40:03d}XY" for n in range(400)],
                "a": rng.normal(size=400),
                "b": rng.normal(size=400),
                "bought": rng.choice(["yes", "no"], 400),
            }
        )
        with closing(sqlite3.connect(place / "noise.db")) as connection:
            frame.to_sql("noise", connection, index=False)
        task = folder / "noise.yaml"
        task.write_text(NOISE)
        self.env = surroundings(folder) | {"NOISE_FOLDER": str(place)}
        self.stopped = workflow("run", str(task), env=self.env)
        self.stop = newest(self.env)
        self.forced = workflow(
            "run", str(task), "--force", "-p", "time_budget=1", "-p", "folds=3", env=self.env
        )
        self.force = newest(self.env)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Noise:
    return Noise(tmp_path_factory.mktemp("noise"))


def test_a_gate_that_says_stop_ends_the_run_with_three(noise: Noise) -> None:
    assert noise.stopped.returncode == 3 and noise.stopped.stderr == "", (
        noise.stopped.stdout + noise.stopped.stderr
    )
    run = record(noise.stop)
    assert run["outcome"] == "stop" and statuses(run) == ["done", "stopped"] + ["pending"] * 4
    answer = run["stages"][1]["verdict"]["answer"]
    assert run["stages"][1]["verdict"]["go"] is False and answer in noise.stopped.stdout
    assert (noise.stop / "01_research.html").exists() and not (
        noise.stop / "02_dataset.ipynb"
    ).exists()


def test_force_goes_on_past_the_gate_and_still_ends_with_three(noise: Noise) -> None:
    assert noise.forced.returncode == 3, noise.forced.stdout + noise.forced.stderr
    run = record(noise.force)
    assert run["outcome"] == "stop" and set(statuses(run)) <= {"done", "reused"}
    scores = pd.read_parquet(noise.force / "files" / "scores.parquet")
    assert list(scores.columns[:5]) == [
        "unit",
        "outcome",
        "current_score",
        "current_decision",
        "current_value",
    ]
    assert set(scores["release_decision"]) <= {"act", "leave"}


def test_secrets_stay_in_the_environment(noise: Noise) -> None:
    kept = [
        path for folder in (noise.stop, noise.force) for path in folder.rglob("*") if path.is_file()
    ]
    assert len(kept) > 30
    for path in [*kept, noise.stop.parent / "index.html"]:
        assert SECRET.encode() not in path.read_bytes(), path
    assert (
        SECRET
        not in noise.stopped.stdout
        + noise.stopped.stderr
        + noise.forced.stdout
        + noise.forced.stderr
    )
    assert "${NOISE_FOLDER}" in (noise.force / "files" / "task.yaml").read_text()


@pytest.mark.parametrize("ending", ["*.html", "*.ipynb", "run.json"])
def test_private_values_appear_in_no_page(noise: Noise, ending: str) -> None:
    pages = sorted(noise.force.glob(ending))
    assert pages
    for page in pages:
        assert not re.findall(
            r"customer-\d{5}-of-ours|PC\d{3}XY", page.read_text(encoding="utf-8")
        ), page.name


def test_a_binary_page_stands_alone_too(noise: Noise) -> None:
    for stage in STAGES:
        text = (noise.force / f"{stage}.html").read_text(encoding="utf-8")
        assert figures(text) and not re.findall(r"\w+Warning\b|Traceback", visible(text))
