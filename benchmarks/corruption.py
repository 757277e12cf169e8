"""The corruption matrix of a task's newest run, and false alarms on 200 resamples of its holdout that nothing has happened to.

.venv/bin/python benchmarks/corruption.py [TASK] after `ml-workflow run TASK --force`; bars: 95 % caught or harmless, 2 % false alarms.
"""

import json
import sys

import numpy as np

from ml_workflow.data.contract import faults
from ml_workflow.data.corruptions import NOTHING
from ml_workflow.data.joins import inputs
from ml_workflow.data.window import alarms_of
from ml_workflow.decision.target import codes, outcome
from ml_workflow.model.fitting import folds_of, out_of_fold
from ml_workflow.model.release import load_release
from ml_workflow.model.robustness import corruption_matrix, seen
from ml_workflow.store.run import open_run, reports
from ml_workflow.task.file import task_of

RESAMPLES = 200


def main(name: str) -> None:
    """Print the matrix and the share of sound windows that raise an alarm."""
    newest = max(p.parents[1].name for p in reports().glob(f"{name}-*/files/ledger.json"))
    folder = open_run(newest)
    task, ledger = task_of(folder), folder.read_json("ledger.json", "04_scale")
    release = load_release(folder.files / "release", ledger["digest"])
    development, holdout = (
        folder.read_frame(f"{part}.parquet", "02_dataset") for part in ("dataset", "holdout")
    )
    contract, classes = folder.read_json("contract.json", "02_dataset"), release.card["classes"]
    truth, order = (
        outcome(task, development),
        list(folder.read_json("dataset.json", "02_dataset")["strengths"]),
    )
    scores = out_of_fold(
        release.estimator,
        release.features(development),
        codes(truth, classes),
        folds_of(task, development, truth, 3, 0),
    )
    known = np.flatnonzero(~np.isnan(scores.reshape(len(scores), -1)[:, 0]))
    past = np.sort(np.random.default_rng(0).permutation(known)[:8000])
    usual = seen(task, development.iloc[past], scores[past], classes)
    print(f"{newest}: {len(holdout):,} holdout rows, {len(past):,} rows of reference")

    strong = [c for c in order if c in inputs(task, development)]
    shares = []
    for seed in range(5):
        rows = holdout.sample(min(4000, len(holdout)), random_state=seed).reset_index(drop=True)
        matrix = corruption_matrix(
            task, release, usual, strong, rows, development.iloc[past], seed
        ).drop(index=NOTHING)
        shares.append(float((matrix["verdict"] != "missed").mean()))
        print(
            f"seed {seed}: {len(matrix)} ways, {matrix['verdict'].value_counts().to_dict()}, missed: {list(matrix.index[matrix['verdict'] == 'missed'])}"
        )
    print(f"caught or harmless {np.mean(shares):.3f} (bar .95 or more)")

    for title, replace in (
        ("halves drawn without replacement", False),
        ("bootstrap resamples under new keys", True),
    ):
        told: list[dict[str, str]] = []
        for seed in range(RESAMPLES):
            size = len(holdout) if replace else len(holdout) // 2
            rows = holdout.sample(size, replace=replace, random_state=seed).reset_index(drop=True)
            broken = {f["column"]: f["rule"] for f in faults(contract, rows).to_dict("records")}
            told.append(
                broken
                | alarms_of(
                    usual, seen(task, rows, np.asarray(release.score(rows)), classes), strong, size
                )
            )
        alarms = [t for t in told if t]
        print(
            f"{RESAMPLES} {title}: {len(alarms) / RESAMPLES:.3f} raise an alarm (bar .02 or less)",
            json.dumps(alarms[:3]) if alarms else "",
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "credit")
