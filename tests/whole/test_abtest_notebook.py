"""05 on live evidence: a database with phases, guardrails, segments and a covariate."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ml_workflow.experiments.plan import DAY, read_plan
from ml_workflow.store.database import new_decisions
from tests.conftest import ROOT, python, read_json
from tests.experiments.traffic import WEIGHTS, traffic, write

NAME, UNITS = "penguins-live", 4_000
ABTEST = {
    "guardrails": {
        "action Gentoo": {"margin": 0.1, "better": "lower"},
        "fallback": {"margin": 0.01, "better": "lower"},
    },
    "segments": ["side"],
    "covariate": "spend",
    "uncertain": {"build_cost": [4000, 8000]},
}


def judged(finished: Path, place: Path, *, gain: float, acted: float) -> dict[str, Any]:
    """decision.json of 05 on two phases whose release earns `gain` more and acts `acted` more."""
    files = place / "reports" / "live" / "files"
    files.mkdir(parents=True)
    for name in ("scores.parquet", "holdout.parquet"):
        shutil.copy(finished / "files" / name, files / name)
    task = yaml.safe_load((finished / "files" / "task.yaml").read_text(encoding="utf-8"))
    (files / "task.yaml").write_text(yaml.safe_dump(task | {"abtest": ABTEST}), encoding="utf-8")
    frame = traffic(UNITS, effect=gain)
    release, late = frame["arm"] == "release", frame.index > UNITS / 2
    acts = np.random.default_rng(0).random(UNITS) < 0.3 + acted * release
    frame = frame.assign(
        action=np.where(acts, "Gentoo", "Adelie"),
        phase=1 + late,
        value=frame["value"] + 20 * late,
        **{name: frame[name] - 600 * DAY for name in ("exposed", "decided", "time")},
    )
    plan = replace(read_plan(finished / "files" / "decision.json"), units=UNITS)
    engine = new_decisions(place / "live.db")
    phases = [{"weights": WEIGHTS, "inclusion": share} for share in (0.1, 0.2)]
    write(engine, frame.assign(time=frame["decided"] + 60), plan, id=NAME, phases=phases)
    engine.dispose()
    words = ["nbs/05_abtest.ipynb", str(place / "05.ipynb"), "--no-progress-bar", "-p", "run"]
    words += ["live", "-p", "evidence", f"sqlite:///{place / 'live.db'}"]
    own = {"ML_WORKFLOW_REPORTS": str(place / "reports"), "PYTHONPATH": str(ROOT)}
    done = python("-m", "papermill", *words, env=os.environ | own)
    assert done.returncode == 0, done
    return read_json(files / "decision.json")


def test_a_live_experiment_ends_in_the_command_that_promotes(
    finished: Path, tmp_path: Path
) -> None:
    decision = judged(finished, tmp_path, gain=3.0, acted=0.0)
    assert [check for check in decision["checks"] if not check["passed"]] == []
    assert decision["outcome"] == "ship"
    assert decision["command"] == "ml-workflow promote penguins challenger"
    lower, _, upper = decision["net_value_per_month"]
    assert lower < 3 * 400 - 100 < upper
    assert decision["roi"][0] > 0 and decision["chance_of_loss"] < 0.05
    page = (tmp_path / "05.ipynb").read_text(encoding="utf-8")
    for text in ("13 of 13 checks passed", "benjamini_hochberg", "p of the same effect"):
        assert text in page


@pytest.mark.prove
def test_a_broken_guardrail_stops_what_earns_more(finished: Path, tmp_path: Path) -> None:
    decision = judged(finished, tmp_path, gain=3.0, acted=0.3)
    assert decision["outcome"] == "stop"
    assert "the guardrail action Gentoo is broken" in decision["answer"]
    assert decision["command"] == "ml-workflow experiment kill penguins-live"
