"""The corruption matrix of a task's newest run, and false alarms on rows that nothing happened to.

.venv/bin/python benchmarks/corruption.py [TASK] after `ml-workflow run TASK --force`
Bars: 95 % caught or harmless; 2 % false alarms on 200 resamples of the holdout.
"""

import json
import sys

import numpy as np
import pandas as pd

from ml_workflow.data.corruptions import NOTHING
from ml_workflow.data.joins import inputs
from ml_workflow.data.window import alarms_of
from ml_workflow.model.fitting import folds_of, out_of_fold
from ml_workflow.model.release import Release, load_release
from ml_workflow.model.robustness import corruption_matrix, seen
from ml_workflow.store.run import open_run, reports

RESAMPLES = 200


def main(name: str) -> None:
    """Print the matrix and the share of sound windows that raise an alarm."""
    newest = max(p.parents[1].name for p in reports().glob(f"{name}-*/files/ledger.json"))
    folder = open_run(newest)
    digest = folder.read_json("ledger.json", "04_scale")["digest"]
    release = load_release(folder.files / "release", digest)
    development, holdout = (
        folder.read_frame(f"{part}.parquet", "02_dataset") for part in ("dataset", "holdout")
    )
    kind = release.kind
    strengths = folder.read_json("dataset.json", "02_dataset")["strengths"]
    scores = out_of_fold(
        release.estimator,
        release.features(development),
        kind.encode(kind.outcomes(development)),
        folds_of(kind, development, 3, 0),
    )
    known = np.flatnonzero(~np.isnan(scores.reshape(len(scores), -1)[:, 0]))
    some = np.sort(np.random.default_rng(0).permutation(known)[:8000])
    past, past_scores = development.iloc[some], scores[some]
    print(f"{newest}: {len(holdout):,} holdout rows, {len(past):,} rows of reference")
    strongest = [c for c in strengths if c in inputs(release.task, development)]
    matrices(release, strongest, holdout, past, past_scores)
    false_alarms(release, strongest, holdout, past, past_scores)


def matrices(
    release: Release,
    strongest: list[str],
    holdout: pd.DataFrame,
    past: pd.DataFrame,
    past_scores: np.ndarray,
) -> None:
    """Print what is caught on five draws of the holdout."""
    shares = []
    for seed in range(5):
        rows = holdout.sample(min(4000, len(holdout)), random_state=seed).reset_index(drop=True)
        matrix = corruption_matrix(release, strongest, rows, past, past_scores, seed)
        verdicts = matrix.drop(index=NOTHING)["verdict"]
        missed = verdicts == "missed"
        shares.append(float((~missed).mean()))
        print(
            f"seed {seed}: {len(verdicts)} ways, {verdicts.value_counts().to_dict()}, "
            f"missed: {list(verdicts.index[missed])}"
        )
    print(f"caught or harmless {np.mean(shares):.3f} (bar .95 or more)")


def false_alarms(
    release: Release,
    strongest: list[str],
    holdout: pd.DataFrame,
    past: pd.DataFrame,
    past_scores: np.ndarray,
) -> None:
    """Print how many sound windows raise an alarm."""
    reference = seen(release.kind, past, past_scores)
    for title, replace in (
        ("halves drawn without replacement", False),
        ("bootstrap resamples under new keys", True),
    ):
        alarms: list[dict[str, str]] = []
        for seed in range(RESAMPLES):
            size = len(holdout) if replace else len(holdout) // 2
            rows = holdout.sample(size, replace=replace, random_state=seed).reset_index(drop=True)
            faults = release.contract.faults(rows)
            window = seen(release.kind, rows, release.score(rows))
            moved = alarms_of(reference, window, strongest, size)
            if found := dict(zip(faults["column"], faults["rule"], strict=True)) | moved:
                alarms.append(found)
        print(
            f"{RESAMPLES} {title}: {len(alarms) / RESAMPLES:.3f} raise an alarm (bar .02 or less)",
            json.dumps(alarms[:3]) if alarms else "",
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "credit")
