"""Whether probabilities come true."""

import numpy as np
import pandas as pd

from ..decision.target import losses
from ..statistics.bootstrap import interval_of_mean
from ..task.definition import Task


def calibration_gain(task: Task, scores: np.ndarray, truth: np.ndarray, seed: int) -> list[float]:
    "[lower, estimate, upper] of the log loss that a sigmoid correction of the scores would save per row, cross-fitted."
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    logit = np.log(np.clip(scores, 1e-6, 1 - 1e-6) / np.clip(1 - scores, 1e-6, 1))[:, None]
    corrected = cross_val_predict(
        LogisticRegression(C=1e6), logit, truth, cv=5, method="predict_proba"
    )[:, 1]
    saved = losses(task, scores, truth, ["negative", "positive"]) - losses(
        task, corrected, truth, ["negative", "positive"]
    )
    return list(interval_of_mean(saved, seed=seed))


def reliability(scores: np.ndarray, happened: np.ndarray, bins: int = 10) -> pd.DataFrame:
    "Mean score against observed share in bins of equal size: equal means calibrated."
    groups = pd.qcut(pd.Series(scores), bins, duplicates="drop", labels=False)
    return (
        pd.DataFrame({"predicted": scores, "observed": happened}).groupby(groups.to_numpy()).mean()
    )
