"""A model trained on a cluster, each worker on its share of the rows, is as good as any other."""

from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.metrics import roc_auc_score

from ml_workflow.model.training import fit_on_cluster
from tests.conftest import ROOT


def test_a_classifier_from_partitions_is_as_good_as_from_memory(
    scheduler: str, tmp_path: Path
) -> None:
    credit = pd.read_csv(ROOT / "data" / "credit.csv.gz")
    inputs = [c for c in credit if c not in ("customer_id", "default_next_month")]
    fit, test = credit[:16_000], credit[16_000:20_000]
    for number in range(4):
        fit[number::4].to_parquet(tmp_path / f"part-{number}.parquet", index=False)
    settings = LGBMClassifier(n_estimators=40, num_leaves=15, verbose=-1, random_state=0)
    spread = fit_on_cluster(settings, tmp_path, inputs, "default_next_month", scheduler)
    alone = settings.fit(fit[inputs], fit["default_next_month"])
    assert (
        type(spread) is LGBMClassifier and alone.get_params().items() <= spread.get_params().items()
    )
    aucs = [
        roc_auc_score(test["default_next_month"], m.predict_proba(test[inputs])[:, 1])
        for m in (spread, alone)
    ]
    assert aucs[1] > 0.75 and abs(aucs[0] - aucs[1]) < 0.01, aucs
    assert spread.booster_.num_trees() == 40


def test_partitions_of_a_sorted_table_are_learnt_as_if_they_were_mixed(
    scheduler: str, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"x": np.arange(4_000) / 1_000})
    frame["y"] = np.floor(frame["x"])
    for number in range(4):
        frame[number * 1_000 : (number + 1) * 1_000].to_parquet(
            tmp_path / f"part-{number}.parquet", index=False
        )
    model = fit_on_cluster(
        LGBMRegressor(n_estimators=60, verbose=-1), tmp_path, ["x"], "y", scheduler
    )
    assert type(model) is LGBMRegressor
    assert np.abs(model.predict(frame[["x"]]) - frame["y"]).mean() < 0.05
