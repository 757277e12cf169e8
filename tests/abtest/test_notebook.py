"""05 on live evidence: a decisions database with several phases, guardrails, segments and a covariate, through to the command."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from ml_workflow.experiments.evidence import DAY, bound
from ml_workflow.store import database
from tests.conftest import ROOT

SALTS, WEIGHTS = {"inclusion_salt": "a", "arm_salt": "b"}, {"current": 0.5, "release": 0.5}
NAME, UNITS = "penguins-live", 4_000


def live(path: Path, plan: dict[str, Any], *, gain: float, acted: float) -> str:
    """An experiment of two phases whose release earns `gain` more a decision and acts in a share `acted` more of them."""
    g = np.random.default_rng(0)
    release, x = np.tile([False, True], UNITS // 2), g.normal(5, 10, UNITS)
    times = 1_750_000_000.0 + np.arange(UNITS) * 20 * DAY / UNITS
    arm, late = np.where(release, "release", "current"), times > times[UNITS // 2]
    worth = x + g.normal(0, 5, UNITS) + gain * release + 20 * late
    action = np.where(g.random(UNITS) < 0.3 + acted * release, "Gentoo", "Adelie")
    unit, identity = [f"u{i}" for i in range(UNITS)], [f"d{i}" for i in range(UNITS)]
    phases = [{"weights": WEIGHTS, "inclusion": 0.1}, {"weights": WEIGHTS, "inclusion": 0.2}]
    engine = database.new_decisions(path)
    database.insert_frames(
        engine,
        {
            "experiments": pd.DataFrame(
                [{"id": NAME, **SALTS, "phases": phases, "plan": bound(plan, SALTS, WEIGHTS)}]
            ),
            "exposures": pd.DataFrame(
                {
                    "experiment": NAME,
                    "unit": unit,
                    "arm_assigned": arm,
                    "arm_served": arm,
                    "phase": 1 + late,
                    "time": times,
                }
            ),
            "decisions": pd.DataFrame(
                {
                    "id": identity,
                    "unit": unit,
                    "experiment": NAME,
                    "arm": arm,
                    "row": [
                        {"spend": float(v), "side": "left" if i % 3 else "right"}
                        for i, v in enumerate(x)
                    ],
                    "version": arm,
                    "score": None,
                    "action": action,
                    "propensity": 1.0,
                    "fallback": False,
                    "time": times,
                }
            ),
            "outcomes": pd.DataFrame(
                {
                    "decision": identity,
                    "value": worth,
                    "event_time": times + 60,
                    "arrival_time": times + 60,
                    "idempotency_key": identity,
                }
            ),
        },
    )
    engine.dispose()
    return f"sqlite:///{path}"


def judged(finished: Path, place: Path, **experiment: float) -> dict[str, Any]:
    """decision.json of 05 on that experiment, for a task that declares guardrails, segments and a covariate."""
    files = place / "reports" / "live" / "files"
    files.mkdir(parents=True)
    for name in ("scores.parquet", "holdout.parquet"):
        shutil.copy(finished / "files" / name, files / name)
    task = yaml.safe_load((finished / "files" / "task.yaml").read_text(encoding="utf-8"))
    task["abtest"] = {
        "guardrails": {
            "action Gentoo": {"margin": 0.1, "better": "lower"},
            "fallback": {"margin": 0.01, "better": "lower"},
        },
        "segments": ["side"],
        "covariate": "spend",
        "uncertain": {"build_cost": [4000, 8000]},
    }
    (files / "task.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    plan = json.loads((finished / "files" / "decision.json").read_text(encoding="utf-8"))[
        "plan"
    ] | {"units": UNITS}
    url = live(place / "live.db", plan, **experiment)
    words = [
        sys.executable,
        "-m",
        "papermill",
        "nbs/05_abtest.ipynb",
        str(place / "05.ipynb"),
        "-p",
        "run",
        "live",
        "-p",
        "evidence",
        url,
        "--no-progress-bar",
    ]
    done = subprocess.run(
        words,
        cwd=ROOT,
        env=os.environ | {"ML_WORKFLOW_REPORTS": str(place / "reports"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads((files / "decision.json").read_text(encoding="utf-8")))


def test_a_live_experiment_ends_in_the_command_that_promotes(
    finished: Path, tmp_path: Path
) -> None:
    said = judged(finished, tmp_path, gain=3.0, acted=0.0)
    assert [check for check in said["checks"] if not check["passed"]] == []
    assert (
        said["outcome"] == "ship" and said["command"] == "ml-workflow promote penguins challenger"
    )
    assert (
        said["net_value_per_month"][0] < 3 * 400 - 100 < said["net_value_per_month"][2]
        and said["roi"][0] > 0
        and said["chance_of_loss"] < 0.05
    )
    page = (tmp_path / "05.ipynb").read_text(encoding="utf-8")
    assert (
        "13 of 13 checks passed" in page
        and "benjamini_hochberg" in page
        and "p of the same effect" in page
    )


@pytest.mark.prove
def test_a_broken_guardrail_stops_what_earns_more(finished: Path, tmp_path: Path) -> None:
    said = judged(finished, tmp_path, gain=3.0, acted=0.3)
    assert (
        said["outcome"] == "stop"
        and "the guardrail action Gentoo is broken" in said["answer"]
        and said["command"] == "ml-workflow experiment kill penguins-live"
    )
