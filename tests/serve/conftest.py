"""Projects that serve a release of each kind of target, fitted here in seconds, and the API."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import yaml
from catboost import CatBoostClassifier
from fastapi import FastAPI
from fastapi.testclient import TestClient
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier, VotingRegressor
from xgboost import XGBClassifier, XGBRegressor

from ml_workflow.data.features import feature_step
from ml_workflow.data.joins import inputs
from ml_workflow.decision.kinds import kind_of
from ml_workflow.model.registry import promote, register
from ml_workflow.model.release import contents, digest_of
from ml_workflow.model.vectorizing import vectorized
from ml_workflow.serve import reload
from ml_workflow.serve.app import application
from ml_workflow.serve.reload import Live
from ml_workflow.serve.rows import Row
from ml_workflow.task.file import as_task
from tests.conftest import ROOT, surroundings, within
from tests.model.conftest import keep_in
from tests.serve import dataset

BASE = {
    "unit": "row",
    "sources": [{"name": "penguins", "uri": "data/penguins.csv.gz"}],
    "features": "area",
}
TASKS: dict[str, dict[str, Any]] = {
    "penguins": yaml.safe_load((ROOT / "tasks" / "penguins.yaml").read_text())
    | {"exclude": ["fee", "ringed", "seen"]},
    "sexes": BASE
    | {
        "question": "Is this penguin male?",
        "target": {"column": "sex", "kind": "binary", "positive": "male"},
        "private": ["fee", "island"],
        "value": {
            "act": {"positive": "fee", "negative": -5},
            "leave": {"positive": 0, "negative": 0},
        },
    },
    "masses": BASE
    | {
        "question": "How heavy is this penguin?",
        "target": {"column": "body_mass_g", "kind": "regression"},
        "exclude": ["fee"],
        "current_process": {"describe": "A guess.", "decide": "fee * 1000"},
        "value": {"over": 3, "under": 2},
    },
}
TREES: dict[str, Any] = {"n_estimators": 10, "n_jobs": 1, "verbosity": -1}
CLASSIFIERS = [
    ("a", LGBMClassifier(**TREES)),
    ("b", XGBClassifier(**TREES | {"verbosity": 0})),
    ("c", HistGradientBoostingClassifier(max_iter=2)),
]
REGRESSORS = [("a", LGBMRegressor(**TREES)), ("b", XGBRegressor(**TREES | {"verbosity": 0}))]
ESTIMATORS = {
    "penguins": VotingClassifier(CLASSIFIERS, voting="soft", weights=[3, 2, 1]),
    "sexes": CatBoostClassifier(iterations=20, verbose=0, allow_writing_files=False),
    "masses": VotingRegressor(REGRESSORS, weights=[1, 3]),
}


class Home(NamedTuple):
    """A project: folder, environment, the run whose release is champion, and what is live."""

    folder: Path
    env: dict[str, str]
    run: Path
    live: Live

    @property
    def holdout(self) -> pd.DataFrame:
        """Rows that the release was not fitted on."""
        return pd.read_parquet(self.run / "files" / "holdout.parquet")

    @property
    def inputs(self) -> pd.DataFrame:
        """Those columns of them that the API takes."""
        return self.holdout[[field.name for field in self.live.model.rows.fields]]


def run_of(name: str, folder: Path) -> Path:
    """The folder of a run with a release of a task, its task, its contract and its holdout."""
    (folder / "ml_workflow").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "serve" / "dataset.py", folder / "ml_workflow")
    shutil.copy(ROOT / "settings.ini", folder)
    task = as_task({"name": name} | TASKS[name], name)
    table = pd.read_csv(ROOT / "data" / "penguins.csv.gz").dropna(subset=task.target.column)
    table = table.rename_axis("row").reset_index()
    seen = pd.Timestamp("2007-01-01T10:30") + pd.to_timedelta(table["row"], unit="D")
    table["seen"] = seen.mask(table["row"] % 11 == 0)
    table["ringed"], table["fee"] = table["year"] > 2007, table["row"] % 7 + 1.5
    holdout = table[table["row"] % 4 == 0].reset_index(drop=True)
    development = table[table["row"] % 4 > 0]
    kind, features = kind_of(task, table[task.target.column]), feature_step(task, dataset)
    files, numbers = folder / "files", features(inputs(task, development))
    files.mkdir()
    holdout.to_parquet(files / "holdout.parquet", index=False)
    model = vectorized(ESTIMATORS[name])
    model.fit(numbers, kind.encode(kind.outcomes(development)))
    examples = holdout.head(50).drop(columns=set(task.private) - set(numbers))
    with within(folder, {}):
        made = features(holdout.head(50))[list(numbers)]
        keep_in(files, model, kind, development, examples, made)
    return folder


def register_run(run: Path, task: str, figures: dict[str, float] | None = None) -> str:
    """Register a run's release as the challenger; its version."""
    release = run / "files" / "release"
    digest = digest_of(contents(release))
    return register(task, release, digest, {}, figures or {}, {"run": run.name})


def home_of(run: Path, task: str, folder: Path) -> Home:
    """A project whose champion is a run's release."""
    shutil.copy(ROOT / "settings.ini", folder)
    database = {"ML_WORKFLOW_DATABASE": f"sqlite:///{folder}/decisions.db"}
    env = surroundings(folder) | {"PYTHONPATH": str(ROOT)} | database
    with within(folder, env):
        promote(task, register_run(run, task))
        live = Live(task, env["ML_WORKFLOW_DATABASE"])
    return Home(folder, env, run, live)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each kind of target."""
    return {name: run_of(name, tmp_path_factory.mktemp(name)) for name in ESTIMATORS}


@pytest.fixture(scope="session")
def homes(
    runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Home]]:
    """A project that serves each kind of target."""
    made = {name: home_of(runs[name], name, tmp_path_factory.mktemp("home")) for name in runs}
    yield made
    for home in made.values():
        home.live.close()


@pytest.fixture
def home(homes: dict[str, Home]) -> Home:
    """The project that serves the penguins."""
    return homes["penguins"]


@pytest.fixture(params=list(ESTIMATORS))
def each(request: pytest.FixtureRequest, homes: dict[str, Home]) -> Home:
    """The project that serves each kind of target."""
    return homes[request.param]


@pytest.fixture
def api(home: Home) -> FastAPI:
    """The API without keys."""
    return application(home.live, [])


@pytest.fixture
def client(api: FastAPI) -> TestClient:
    """A client of the API without keys."""
    return TestClient(api)


@pytest.fixture
def row() -> Row:
    """A sound row."""
    return {
        "island": "Biscoe",
        "bill_length_mm": 40.1,
        "bill_depth_mm": 18,
        "flipper_length_mm": 190,
        "body_mass_g": None,
        "sex": "male",
        "year": 2008,
    }


@contextmanager
def live_of(home: Home, url: str) -> Iterator[Live]:
    """What is live in a project, with a decisions database of its own."""
    with within(home.folder, home.env), pytest.MonkeyPatch.context() as patch:
        patch.setattr(reload, "load_model", lambda *_: home.live.model)  # which takes seconds
        live = Live(home.live.task, url)
        patch.undo()
        yield live
        live.close()


@pytest.fixture
def live(home: Home, tmp_path: Path) -> Iterator[Live]:
    """What is live for the penguins, with a decisions database of its own."""
    with live_of(home, f"sqlite:///{tmp_path}/decisions.db") as live:
        yield live
