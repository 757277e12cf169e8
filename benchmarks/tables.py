"""Any table to a verdict without an edit: thirteen from libraries, the three built-in tasks, one of
100,000 by 25, and two awkward ones.

.venv/bin/python benchmarks/tables.py [real] [large] [awkward]
Bars: a verdict or one sentence each; 5 minutes and 3 GB for the large one.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from sklearn import datasets
from statsmodels import datasets as others

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.conftest import copy_of_the_project  # noqa: E402

REAL = {
    "iris": "target",
    "wine": "target",
    "breast_cancer": "target",
    "diabetes": "target",
    "digits": "target",
    "fair": "affairs",
    "anes96": "vote",
    "randhie": "mdvis",
    "star98": "NABOVE",
    "statecrime": "murder",
    "modechoice": "choice",
    "spector": "GRADE",
    "macrodata": "realgdp",
}


def table(name: str) -> pd.DataFrame:
    """A real table, as its library gives it."""
    found = getattr(datasets, f"load_{name}", None)
    return found(as_frame=True).frame if found else getattr(others, name).load_pandas().data


def large(folder: Path) -> tuple[Path, str]:
    """100,000 rows by 25 columns: the credit table drawn again, a tenth of noise in its amounts."""
    credit = pd.read_csv(ROOT / "data" / "credit.csv.gz")
    rng = np.random.default_rng(0)
    frame = credit.sample(100_000, replace=True, random_state=0).reset_index(drop=True)
    amounts = [c for c in frame if "AMT" in c]
    frame[amounts] = (frame[amounts] * rng.normal(1, 0.1, (len(frame), len(amounts)))).round(0)
    frame["customer_id"] = np.arange(len(frame))
    frame.to_csv(folder / "large.csv", index=False)
    size = (folder / "large.csv").stat().st_size / 1e6
    print(f"{frame.shape[0]:,} rows by {frame.shape[1]} columns, {size:.0f} MB")
    return folder / "large.csv", "default_next_month"


def awkward(name: str) -> pd.DataFrame:
    """A thousand columns, or four million rows, of which one column tells a little."""
    rng = np.random.default_rng(0)
    rows, columns = {"wide": (2_000, 1_000), "long": (4_000_000, 5)}[name]
    frame = pd.DataFrame(rng.normal(size=(rows, columns)).round(3)).add_prefix("c")
    return frame.assign(target=(frame["c0"] + rng.normal(size=rows) > 1).astype(int))


def workflow(*words: str, folder: Path) -> tuple[int, str, float, float]:
    """Status, output, seconds and peak memory in GB of a command.

    Of memory the proportional share of all its processes.
    """
    env = os.environ | {
        "ML_WORKFLOW_REPORTS": str(folder / "reports"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }
    began, peak = time.perf_counter(), 0.0
    with subprocess.Popen(
        [sys.executable, "-m", "ml_workflow.cli", *words],
        env=env,
        cwd=folder / "project",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        text: list[str] = []
        reader = threading.Thread(
            target=lambda: text.append(process.stdout.read() if process.stdout else "")
        )
        reader.start()
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.25)
        reader.join()
    return process.returncode, text[0], time.perf_counter() - began, peak


def memory(pid: int) -> float:
    """Memory of a process and all below it, in GB; what they share counts once."""
    total = 0
    try:
        for each in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            total += each.memory_full_info().pss
    except psutil.NoSuchProcess:
        pass
    return total / 1e9


def outcome(words: list[str], name: str, folder: Path) -> bool:
    """Run a table and print what came of it; whether it is a verdict or one sentence."""
    status, text, seconds, peak = workflow("run", *words, folder=folder)
    lines = [line for line in text.strip().splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if " s  " in line), lines[-1] if lines else "")
    sound = status in (0, 2, 3) and "Traceback" not in text
    print(
        f"{name:14} {'ok ' if sound else 'BAD'} status {status}, {seconds:5.1f} s, {peak:.2f} GB: "
        f"{last.strip()[:170]}",
        flush=True,
    )
    if not sound:
        print(text[-2000:])
    return sound


def main(asked: list[str]) -> None:
    """Print one line a table."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        copy_of_the_project(folder / "project")  # where tasks are drafted
        (folder / "mlflow.db").write_bytes((ROOT / "var" / "mlflow.db").read_bytes())
        if not asked or "real" in asked:
            sound = [
                outcome([name, "--force"], name, folder) for name in ("credit", "penguins", "bikes")
            ]
            for name, target in REAL.items():
                frame = table(name)
                path = folder / f"{name}.csv"
                frame.to_csv(path, index=False)
                sound.append(
                    outcome(
                        [str(path), "--target", target],
                        f"{name} {frame.shape[0]}x{frame.shape[1]}",
                        folder,
                    )
                )
            print(json.dumps({"tables": len(sound), "verdict or one sentence": sum(sound)}))
        if not asked or "large" in asked:
            path, target = large(folder)
            outcome([str(path), "--target", target, "--force"], "large", folder)
            print("bars: 300 s, 3 GB")
        for name in ("wide", "long") if not asked or "awkward" in asked else ():
            path = folder / f"{name}.csv"
            awkward(name).to_csv(path, index=False)
            outcome([str(path), "--target", "target", "--force"], name, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
