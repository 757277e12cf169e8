"""The built-in tasks score what a plain pipeline by hand reaches on the same split."""

from pathlib import Path

import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, root_mean_squared_error
from skrub import tabular_pipeline

from tests.conftest import ROOT, newest, surroundings, workflow


def test_penguins_score_as_well_as_logistic_regression_by_hand(finished: Path) -> None:
    table = pd.read_csv(ROOT / "data" / "penguins.csv.gz")
    scores = pd.read_parquet(finished / "files" / "scores.parquet")
    held = table.index.isin(scores["unit"])
    inputs, species = table.drop(columns="species"), table["species"]
    assert 0.1 < held.mean() < 0.3
    assert species[held].tolist() == scores["outcome"].tolist()
    model = tabular_pipeline(LogisticRegression()).fit(inputs[~held], species[~held])
    theirs = log_loss(species[held], model.predict_proba(inputs[held]))
    chances = scores[[f"release_score_{c}" for c in model.classes_]].to_numpy()
    ours = log_loss(scores["outcome"], chances / chances.sum(axis=1, keepdims=True))
    assert ours < theirs + 0.03
    assert (model.classes_[chances.argmax(axis=1)] == scores["outcome"]).mean() > 0.95


def test_bikes_score_as_well_as_histogram_boosting_by_hand(tmp_path: Path) -> None:
    env = surroundings(tmp_path)
    done = workflow(
        "run", "bikes", "--until", "04_scale", "--force", "-p", "time_budget=4", env=env
    )
    assert done.returncode in (0, 3), done
    scores = pd.read_parquet(newest(env) / "files" / "scores.parquet")
    table = pd.read_csv(ROOT / "data" / "bikes.csv.gz", parse_dates=["hour_start"])
    before = pd.read_csv(ROOT / "data" / "bikes_week_before.csv.gz", parse_dates=["hour_start"])
    table = table.merge(before, on="hour_start", how="left")
    held = table["hour_start"].isin(pd.to_datetime(scores["unit"])).to_numpy()
    assert table["hour_start"][held].min() > table["hour_start"][~held].max()
    inputs = table.drop(columns=["bikers", "casual", "registered"]).assign(
        hour_start=table["hour_start"].astype("int64")
    )
    inputs = inputs.apply(lambda c: c if pd.api.types.is_numeric_dtype(c) else pd.factorize(c)[0])
    model = HistGradientBoostingRegressor(random_state=0).fit(inputs[~held], table["bikers"][~held])
    theirs = root_mean_squared_error(table["bikers"][held], model.predict(inputs[held]))
    ours, today = (
        root_mean_squared_error(scores["outcome"], scores[f"{p}_score"])
        for p in ("release", "current")
    )
    assert ours < theirs * 1.05 and ours < today
