"""A run's folder: a true record, six pages that stand alone, figures that can be computed again."""

import re
import sqlite3
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from ml_workflow.store.run import STAGES
from tests.conftest import ROOT, called, newest, read_json, record

ADDRESS = r"(?:script|link|img|iframe|object|embed|source)\b[^>]*?(?:src|href|data)\s*=\s*[\"']?"


def visible(page: str) -> str:
    """A page without its scripts and styles."""
    return re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)


def assert_stands_alone(page: Path) -> str:
    """The page is small, names no address outside, and shows a figure and no warning; its text."""
    text = page.read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    assert not re.findall(rf"<{ADDRESS}(?:https?:)?//", text)
    assert not re.findall(r"url\(\s*[\"']?(?:https?:)?//|@import", text)
    figures = re.findall(r"<img[^>]+src=\"data:image/png;base64,([^\"]+)", visible(text))
    assert any(len(figure) > 5000 for figure in figures)
    assert not re.findall(r"\w+Warning\b|Traceback|/site-packages/", visible(text))
    assert "jp-InputArea-editor" not in visible(text)
    assert "PosixPath" not in text and str(page.parent) not in text
    return text


def test_the_record_is_as_documented(finished: Path) -> None:
    run = record(finished)
    assert set(run) == {"run", "task", "parameters", "stages", "outcome", "versions"}
    assert run["run"] == finished.name
    assert re.fullmatch(r"penguins-\d{8}T\d{6}-[0-9a-f]{6}", run["run"])
    assert run["task"] == "penguins" and run["parameters"] == {"04_scale": {"time_budget": 2}}
    assert run["outcome"] in ("ship", "keep running", "stop")
    assert {"ml_workflow", "scikit-learn"} <= set(run["versions"])
    assert run["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert tuple(stage["name"] for stage in run["stages"]) == STAGES
    for stage in run["stages"]:
        keys = {"name", "status", "seconds", "started", "inputs", "verdict", "made"}
        assert set(stage) == keys and stage["status"] == "done" and stage["seconds"] > 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stage["started"])
        inputs = stage["inputs"]
        assert set(inputs) == {"notebook", "parameters", "files", "modules"}
        for name in ("notebook", "parameters"):
            assert re.fullmatch(r"[0-9a-f]{64}", inputs[name])
        assert set(stage["verdict"]) == {"go", "answer", "figures", "outcome"}
        assert stage["verdict"]["go"] is True and stage["verdict"]["answer"].endswith((".", "!"))
    assert [s["started"] for s in run["stages"]] == sorted(s["started"] for s in run["stages"])


def test_the_record_names_what_each_stage_read_and_nothing_else(finished: Path) -> None:
    inputs = {stage["name"]: stage["inputs"] for stage in record(finished)["stages"]}
    read = {stage: set(inputs[stage]["files"]) for stage in STAGES}
    assert read["00_define"] == {"tasks/penguins.yaml", "data/penguins.csv.gz"}
    assert {"task.yaml", "dataset.parquet"} <= read["03_poc"]
    assert "holdout.parquet" in read["04_scale"] and "scores.parquet" in read["05_abtest"]
    assert "holdout.parquet" not in read["01_research"] | read["03_poc"]
    for number, stage in enumerate(STAGES):
        modules = {Path(name).stem for name in inputs[stage]["modules"] if name.count("/") == 1}
        assert not modules & {later[3:] for later in STAGES[number + 1 :]}
        for name, sha in {**inputs[stage]["files"], **inputs[stage]["modules"]}.items():
            own = finished / "files" / name
            path = own if own.exists() else ROOT / name
            assert path.is_dir() or sha256(path.read_bytes()).hexdigest() == sha, name


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_leaves_a_page_and_a_notebook_without_a_warning(finished: Path, stage: str) -> None:
    text = assert_stands_alone(finished / f"{stage}.html")
    verdict = record(finished)["stages"][STAGES.index(stage)]["verdict"]
    assert verdict["answer"].split("'")[0] in text.replace("&#39;", "'")
    money = [verdict["figures"][name] for name in verdict["figures"] if "per_month" in name]
    assert all(figure == sorted(figure) and len(figure) == 3 for figure in money)
    assert bool(money) == (stage != "02_dataset")
    cells = nbformat.read(finished / f"{stage}.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    assert all(c.execution_count for c in cells if c.cell_type == "code" and c.source)


def test_scores_hold_every_process_on_every_holdout_row(finished: Path) -> None:
    names = (finished / "files" / f"{name}.parquet" for name in ("scores", "holdout"))
    scores, holdout = map(pd.read_parquet, names)
    kinds = [*(f"score_{name}" for name in ("Adelie", "Chinstrap", "Gentoo")), "decision", "value"]
    processes = ("current", "dummy", "poc", "release")
    columns = [f"{process}_{kind}" for process in processes for kind in kinds]
    assert list(scores.columns) == ["unit", "outcome", *columns]
    assert list(scores["unit"]) == list(holdout["row"])
    assert list(scores["outcome"]) == list(holdout["species"])
    for process in processes:
        assert np.allclose(scores.filter(regex=f"^{process}_score_").sum(axis=1), 1)
        right = scores[f"{process}_decision"] == scores["outcome"]
        assert np.allclose(scores[f"{process}_value"], np.where(right, 10, -25))
    assert scores["dummy_decision"].nunique() == 1
    others = np.where(holdout["island"] == "Dream", "Chinstrap", "Adelie")
    rule = np.where(holdout["flipper_length_mm"] > 206, "Gentoo", others)
    assert list(scores["current_decision"]) == list(rule)


def test_the_ab_figures_follow_from_the_rows_of_the_decisions_table(finished: Path) -> None:
    """By SQL; what is taken from an estimate for the covariate has its oracles in statistics."""
    files = finished / "files"
    decision = read_json(files / "decision.json")
    with closing(sqlite3.connect(files / "decisions.db")) as connection:
        rows = connection.execute(
            "select arm_assigned, count(*), sum(value), sum(value * value) "
            "from exposures join decisions using (unit) join outcomes on decision = decisions.id "
            "where arm_assigned = arm_served group by 1 order by 1"
        ).fetchall()
    assert [arm for arm, *_ in rows] == ["current", "release"]
    for arm, *sums in rows:
        kept = decision["sums"][arm]
        assert [kept["units"], kept["y"], kept["yy"]] == pytest.approx(sums)
    assert sum(units for _, units, *_ in rows) == len(pd.read_parquet(files / "holdout.parquet"))
    net = decision["net_value_per_month"]
    figures = record(finished)["stages"][5]["verdict"]["figures"]
    assert figures["net_value_per_month"] == pytest.approx(net)
    assert decision["roi"] == pytest.approx([(value * 12 - 5000) / 5000 for value in net])
    faults = [check["said"] for check in decision["checks"] if not check["passed"]]
    sure = "ship" if net[0] > 0 else "stop" if net[2] < 0 else "keep running"
    assert decision["outcome"] == ("keep running" if faults else sure)
    assert all(fault in decision["answer"] for fault in faults)
    scores = pd.read_parquet(files / "scores.parquet")
    paired = (scores["release_value"] - scores["current_value"]).mean() * 400 - 100
    assert decision["paired"][1] == pytest.approx(paired)


def test_a_table_from_elsewhere_decides_the_run(
    finished: Path, env: dict[str, str], tmp_path: Path
) -> None:
    """Only 05 runs anew; 1,000 units an arm, a decision of the release worth 2 $ more: ship.

    With equal arms in A/A mode the plumbing holds.
    """
    rng, path = np.random.default_rng(0), tmp_path / "elsewhere.csv"
    columns = {
        "user": range(2000),
        "variant": ["A", "B"] * 1000,
        "revenue": rng.normal(10, 3, 2000) + np.tile([0, 2.0], 1000),
        "ts": pd.date_range("2026-11-01", periods=2000, freq="1h"),
    }
    pd.DataFrame(columns).to_csv(path, index=False)
    mapping = "mapping=user=unit,variant=arm,revenue=value,ts=time,A=current,B=release"
    given = ["-p", "time_budget=2", "-p", f"evidence={path}", "-p", mapping]
    done = called("run", "penguins", *given, env=env)
    assert done.returncode == 0, done
    statuses = [stage["status"] for stage in record(newest(env))["stages"]]
    assert statuses == ["reused"] * 5 + ["done"]
    decision = read_json(newest(env) / "files" / "decision.json")
    assert decision["outcome"] == "ship" and decision["sums"]["release"]["units"] == 1000
    assert decision["command"] == "ml-workflow promote penguins challenger"
    assert decision["net_value_per_month"][0] > 0
    sums = [decision["sums"][arm]["y"] for arm in ("current", "release")]
    assert sums == pytest.approx([columns["revenue"][arm::2].sum() for arm in (0, 1)])
    assert "no planned number of units" in decision["checks"][-1]["said"]
    done = called("run", "penguins", *given, "-p", "aa=true", env=env)
    assert done.returncode == 3 and "The A/A test fails" in done.stdout
