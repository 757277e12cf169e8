"""Whether probabilities come true."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from ..decision.kinds import Array, Kind
from ..statistics.bootstrap import interval_of_mean
from ..statistics.checks import Interval


def calibration_gain(kind: Kind, scores: Array, outcomes: Array, seed: int) -> Interval:
    """The log loss that a sigmoid correction (Platt 1999) saves a row, cross-fitted."""
    logit = np.log(np.clip(scores, 1e-6, 1 - 1e-6) / np.clip(1 - scores, 1e-6, 1))[:, None]
    sigmoid = LogisticRegression(C=1e6)
    corrected = cross_val_predict(sigmoid, logit, outcomes, cv=5, method="predict_proba")[:, 1]
    saved = kind.losses(scores, outcomes) - kind.losses(corrected, outcomes)
    return interval_of_mean(saved, seed=seed)


def reliability(scores: Array, outcomes: Array, bins: int = 10) -> pd.DataFrame:
    """Mean score against observed share in bins of equal size: equal means calibrated."""
    groups = pd.qcut(pd.Series(scores), bins, duplicates="drop", labels=False)
    table = pd.DataFrame({"predicted": scores, "observed": outcomes})
    return table.groupby(groups.to_numpy()).mean()
