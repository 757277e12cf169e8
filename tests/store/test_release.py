"""A release keeps its code and its promises; one that was changed is refused before anything of it is imported."""

import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_workflow.errors import Refusal
from ml_workflow.model.release import TRUSTED, contents, digest_of, load_release, needed
from tests.conftest import ROOT, copy_of_the_project, edit

FEATURE = """

def stretched(frame):
    "A feature for tests."
    return frame.assign(wide=frame["x"] * 2)
"""
TASK = """
name: stretch
question: Is x large?
unit: id
sources: [{name: s, uri: none.csv}]
target: {column: y, kind: binary, positive: 1}
features: stretched
"""
KEEP = """
import sys
from pathlib import Path
import numpy as np, pandas as pd
from sklearn.linear_model import LogisticRegression
from ml_workflow.dataset import stretched
from ml_workflow.store.release import keep_release
folder = Path(sys.argv[1])
frame = pd.DataFrame({"id": range(40), "x": np.linspace(-1, 1, 40)})
model = LogisticRegression().fit(pd.DataFrame({"wide": np.linspace(-2, 2, 40)}), (frame["x"] > 0).astype(int))
promised = model.predict_proba(stretched(frame)[["wide"]])[:, 1]
card = {"features": True, "inputs": ["wide"], "classes": ["negative", "positive"], "usual": "leave"}
print(keep_release(folder / "release", model, card, folder, frame.assign(promised_0=promised)))
"""
LOAD = """
import json, sys
from pathlib import Path
import pandas as pd
from ml_workflow.store.release import load_release
frame = pd.DataFrame({"id": [1, 2, 3], "x": [-0.5, 0.1, 0.7]})
releases = [load_release(Path(folder) / "release", sha) for folder, sha in zip(sys.argv[1::2], sys.argv[2::2])]
scores = [list(release.score(frame)) for release in releases]
decided = [list(release.decide(frame, release.score(frame))) for release in releases]
again = [list(release.score(frame)) for release in releases]
today = [list(release.current(frame)) for release in releases]
slow = sorted(set(sys.modules) & {"seaborn", "optuna", "mlflow"})
live = sorted(set(sys.modules) & {f"ml_workflow.{m}" for m in ("define", "research", "dataset", "poc", "scale", "pipeline.expressions")})
print(json.dumps({"scores": scores, "again": again, "decided": decided, "live": live, "slow": slow, "today": today, "wide": [list(r.features(frame)["wide"]) for r in releases]}))
"""


def script(text: str, *words: str, cwd: Path) -> str:
    """What a Python script says, run in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", text, *words], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_releases_keep_their_feature_code_side_by_side_after_edits(tmp_path: Path) -> None:
    house = copy_of_the_project(tmp_path / "house")
    module, words = house / "ml_workflow" / "dataset.py", []
    module.write_text(module.read_text() + FEATURE)
    for old, new in (("* 2", "* 2"), ("* 2", "* 3")):
        edit(module, f'frame["x"] {old}', f'frame["x"] {new}')
        folder = tmp_path / f"run{new[-1]}"
        folder.mkdir()
        (folder / "task.yaml").write_text(TASK)
        (folder / "contract.json").write_text("{}")
        words += [str(folder), script(KEEP, str(folder), cwd=house).strip()]
    before = json.loads(script(LOAD, *words, cwd=house))
    edit(module, 'frame["x"] * 3', 'frame["x"] / 0 + broken')
    found = json.loads(script(LOAD, *words, cwd=house))
    assert found == before  # to the last bit
    assert found["wide"] == [pytest.approx([-1, 0.2, 1.4]), pytest.approx([-1.5, 0.3, 2.1])]
    (low, _, high), (lower, _, higher) = found["scores"]
    assert lower < low < 0.5 < high < higher and found["again"] == found["scores"]
    assert found["decided"] == [["leave", "act", "act"]] * 2
    assert found["today"] == [["leave"] * 3] * 2
    assert found["live"] == found["slow"] == []
    assert not list(tmp_path.glob("run*/release/**/__pycache__"))


@pytest.fixture
def release(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run's release."""
    return Path(shutil.copytree(finished / "files" / "release", tmp_path / "release"))


@pytest.fixture
def registered(finished: Path) -> str:
    """The digest that the registry keeps of it."""
    return str(json.loads((finished / "files" / "ledger.json").read_text())["digest"])


def test_an_untouched_release_scores_as_promised_whatever_becomes_of_its_folder(
    release: Path, registered: str, finished: Path
) -> None:
    import pandas as pd

    loaded = load_release(release, registered)
    examples = pd.read_parquet(release / "examples.parquet")
    assert loaded.score(examples) == pytest.approx(examples.filter(regex="^promised_").to_numpy())
    shutil.rmtree(release / "package")
    assert len(loaded.score(examples)) == len(loaded.current(examples)) == len(examples)
    shutil.copytree(finished / "files" / "release" / "package", release / "package")
    assert {
        "estimator.skops",
        "package",
        "contract.json",
        "task.yaml",
        "release.json",
        "examples.parquet",
    } == set(os.listdir(release))
    assert digest_of(contents(release)) == registered


def a_byte_of_code(release: Path) -> None:
    path = release / "package" / "dataset.py"
    path.write_bytes(path.read_bytes().replace(b"return frame", b"return fram3", 1))


def a_new_module(release: Path) -> None:
    (release / "package" / "sitecustomize.py").write_text("")


def a_byte_of_the_estimator(release: Path) -> None:
    path = release / "estimator.skops"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def a_figure(release: Path) -> None:
    path = release / "release.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "out_of_fold": card["out_of_fold"] / 2}))


def a_value_of_the_task(release: Path) -> None:
    path = release / "task.yaml"
    path.write_text(path.read_text().replace("-25", "-1"))


def a_module_gone(release: Path) -> None:
    (release / "package" / "research.py").unlink()


CHANGES = [
    a_byte_of_code,
    a_new_module,
    a_byte_of_the_estimator,
    a_figure,
    a_value_of_the_task,
    a_module_gone,
]


@pytest.mark.parametrize("change", CHANGES, ids=[c.__name__ for c in CHANGES])
def test_a_changed_release_is_refused_before_anything_of_it_is_imported(
    change: Callable[[Path], None], release: Path, registered: str, tmp_path: Path
) -> None:
    change(release)
    init = release / "package" / "__init__.py"
    assert digest_of(contents(release)) != registered
    init.write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\n")
    before = set(sys.modules)
    with pytest.raises(Refusal, match="is not what was registered"):
        load_release(release, registered)
    assert not (tmp_path / "imported").exists()
    assert not {name for name in set(sys.modules) - before if name.startswith("ml_workflow_")}


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.place),)


def trap(release: Path, tmp_path: Path) -> None:
    """Let an import of the release's package be seen."""
    path = release / "package" / "__init__.py"
    path.write_text(path.read_text() + f"\nopen({str(tmp_path / 'imported')!r}, 'w').close()\n")


def test_a_pickle_in_the_place_of_the_estimator_is_never_unpickled(
    release: Path, tmp_path: Path
) -> None:
    trap(release, tmp_path)
    (release / "estimator.skops").write_bytes(pickle.dumps(Payload(tmp_path / "unpickled")))
    with pytest.raises(Refusal, match="no estimator in skops format"):
        load_release(release, digest_of(contents(release)))
    assert not (tmp_path / "unpickled").exists() and not (tmp_path / "imported").exists()


FOREIGN = """
import sys
from pathlib import Path
import skops.io
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from foreign_estimator import Foreign
skops.io.dump(make_pipeline(Foreign()), sys.argv[1])
"""


@pytest.mark.parametrize("kind", ["a type of its own", "os.system", "a function of this package"])
def test_an_estimator_of_a_foreign_type_is_refused(
    kind: str, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import skops.io
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    from ml_workflow.dataset import payment_history

    trap(release, tmp_path)
    path = release / "estimator.skops"
    path.unlink()
    if kind == "a type of its own":
        (tmp_path / "foreign_estimator.py").write_text(
            "open(__file__ + '.seen', 'a').close()\nclass Foreign:\n    def fit(self, X, y=None): return self\n    def transform(self, X): return X\n"
        )
        script(FOREIGN, str(path), cwd=tmp_path)
        (tmp_path / "foreign_estimator.py.seen").unlink()
        monkeypatch.syspath_prepend(str(tmp_path))
    else:
        skops.io.dump(
            make_pipeline(
                FunctionTransformer(os.system if kind == "os.system" else payment_history)
            ),
            path,
        )
    with pytest.raises(Refusal, match="not trusted"):
        load_release(release, digest_of(contents(release)))
    assert (
        not (tmp_path / "imported").exists()
        and not (tmp_path / "foreign_estimator.py.seen").exists()
    )
    assert "foreign_estimator" not in sys.modules


def a_link_to_a_file(release: Path, outside: Path) -> None:
    (release / "task.yaml").rename(outside / "task.yaml")
    (release / "task.yaml").symlink_to(outside / "task.yaml")


def a_link_to_a_folder(release: Path, outside: Path) -> None:
    (release / "package").rename(outside / "package")
    (release / "package").symlink_to(outside / "package")


def a_pipe(release: Path, outside: Path) -> None:
    os.mkfifo(release / "package" / "pipe.py")


WAYS_OUT = [a_link_to_a_file, a_link_to_a_folder, a_pipe]


@pytest.mark.parametrize("way", WAYS_OUT, ids=[w.__name__ for w in WAYS_OUT])
def test_a_release_that_leads_out_of_its_folder_is_refused(
    way: Callable[[Path, Path], None], release: Path, registered: str, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    way(release, tmp_path / "outside")
    with pytest.raises(Refusal, match="a link or no plain file"):
        load_release(release, registered)


def test_the_current_process_decides_by_the_released_code_as_it_does_in_the_project(
    release: Path, registered: str
) -> None:
    import pandas as pd

    from ml_workflow.decision.process import current_process
    from ml_workflow.task.file import read_task

    examples = pd.read_parquet(release / "examples.parquet")
    today = current_process(read_task(release / "task.yaml"), examples)
    assert list(load_release(release, registered).current(examples)) == list(
        today.decide(examples, today.score(examples))
    )


@pytest.mark.parametrize(
    "name",
    [
        "skrub._utils.run",
        "skrub._data_ops._evaluation.Eval",
        "skrub._data_ops.DataOp",
        "lightgbm.sklearn.joblib",
        "numpy.dtype.evil",
        "catboost.core.CatBoost.load",
    ],
)
def test_a_trusted_library_does_not_make_all_its_names_trusted(name: str) -> None:
    assert not TRUSTED.fullmatch(name)


def made_with(release: Path, library: str, version: str) -> None:
    """Let a release say that it was made with a version of a library."""
    card = json.loads((release / "release.json").read_text())
    card["requirements"][library] = version
    (release / "release.json").write_text(json.dumps(card))


def test_a_release_that_needs_a_missing_library_is_refused_before_it_is_imported(
    release: Path, tmp_path: Path
) -> None:
    trap(release, tmp_path)
    made_with(release, "no-such-library", "1.2.3")
    with pytest.raises(Refusal, match=r"needs no-such-library 1\.2\.3, which is not installed"):
        load_release(release, digest_of(contents(release)))
    assert not (tmp_path / "imported").exists()


def test_a_release_keeps_only_what_02_reaches_and_the_libraries_of_that(release: Path) -> None:
    kept = {
        path.relative_to(release / "package").as_posix()
        for path in (release / "package").rglob("*")
        if path.is_file()
    }
    assert {
        "__init__.py",
        "errors.py",
        "define.py",
        "research.py",
        "dataset.py",
        "store/__init__.py",
        "store/task.py",
        "pipeline/expressions.py",
    } <= kept
    assert not kept & {
        "poc.py",
        "scale.py",
        "abtest.py",
        "cli/__init__.py",
        "_modidx.py",
        "store/registry.py",
        "store/decisions.py",
        "run/chain.py",
    }
    libraries = json.loads((release / "release.json").read_text())["requirements"]
    assert {"scikit-learn", "skrub", "pandas", "skops"} <= set(libraries) and not set(libraries) & {
        "mlflow",
        "seaborn",
        "optuna",
        "SQLAlchemy",
    }


def test_a_module_that_a_release_could_not_keep_as_it_is_is_refused_in_a_sentence(
    tmp_path: Path,
) -> None:
    (tmp_path / "dataset.py").write_text("import ml_workflow.define as define\n")
    with pytest.raises(Refusal, match=r"dataset\.py says `import ml_workflow`"):
        needed(tmp_path)


def test_a_refusal_of_the_released_code_is_a_refusal(release: Path, registered: str) -> None:
    name = load_release(release, registered).package.__name__
    with pytest.raises(Refusal, match="'name' is missing"):
        importlib.import_module(f"{name}.store.task").as_task({}, "task.yaml")


@pytest.mark.parametrize("library", ["", "lightgbm"], ids=["same libraries", "another library"])
def test_a_release_that_breaks_its_promise_is_refused(library: str, release: Path) -> None:
    import pandas as pd

    if library:
        made_with(release, library, "3.1.0")
    examples = pd.read_parquet(release / "examples.parquet")
    examples["promised_0"] += 0.01
    examples.to_parquet(release / "examples.parquet", index=False)
    with pytest.raises(
        Refusal,
        match="does not score its own examples as promised: "
        + (r"it was made with lightgbm 3\.1\.0 \(here" if library else "its libraries have"),
    ):
        load_release(release, digest_of(contents(release)))


def test_the_registry_gives_the_release_and_keeps_its_digest_outside(
    finished: Path, env: dict[str, str], registered: str
) -> None:
    text = "from ml_workflow.model.registry import registered; r = registered('penguins', 'challenger'); print(r.card['run'], r.package.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", text], env=env, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == [finished.name, f"ml_workflow_{registered}"]
    assert all(
        registered.encode() not in path.read_bytes()
        for path in (finished / "files" / "release").rglob("*")
        if path.is_file()
    )
    text = text.replace("challenger", "champion")
    refused = subprocess.run(
        [sys.executable, "-c", text], env=env, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert "bears the alias 'champion'" in refused.stderr
