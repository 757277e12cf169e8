"""A release keeps its features and its promises; a changed one is refused before it is imported."""

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import skops.io
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ml_workflow.decision.process import current_process
from ml_workflow.errors import Refusal
from ml_workflow.model.release import TRUSTED, contents, digest_of, load_release
from tests.conftest import ROOT, edit, python, read_json
from tests.model.conftest import MODULE, TABLE, Kept, keep

ROWS = pd.DataFrame({"id": [1, 2, 3], "x": [-0.5, 0.1, 0.7]})
SLOW = """
import sys
from pathlib import Path
from ml_workflow.model.release import load_release
load_release(Path(sys.argv[1]), sys.argv[2])
print(sorted(sys.modules.keys() & {"seaborn", "great_tables", "optuna", "mlflow"}))
"""
FOREIGN = """
open(__file__ + ".seen", "a").close()
class Foreign:
    def fit(self, X, y=None): return self
    def transform(self, X): return X
"""


def script(text: str, *words: str, cwd: Path) -> str:
    """What a Python script says, run in a folder."""
    done = python("-c", text, *words, cwd=cwd)
    assert done.returncode == 0, done
    return done.stdout


def refuse(folder: Path, words: str) -> None:
    """Loading the folder, as if it had been registered so, is refused in these words."""
    before = set(sys.modules)
    with pytest.raises(Refusal, match=words) as refused:
        load_release(folder, digest_of(contents(folder)))
    assert "\n" not in str(refused.value)
    assert not [name for name in sys.modules.keys() - before if "dataset_" in name]


def rewrite(folder: Path, **facts: object) -> None:
    """Let the card say other facts."""
    path = folder / "card.json"
    path.write_text(json.dumps(read_json(path) | facts))


def test_two_releases_keep_their_features_side_by_side_after_edits(house: Path) -> None:
    both = [keep(house), keep(house, MODULE.replace("* 2", "* 3"), "run-2", 3)]
    releases = [load_release(*kept) for kept in both]
    scores = [release.score(ROWS).tolist() for release in releases]
    assert [list(r.features(ROWS)["wide"]) for r in releases] == [
        pytest.approx([-1, 0.2, 1.4]),
        pytest.approx([-1.5, 0.3, 2.1]),
    ]
    edit(house / "ml_workflow" / "dataset.py", 'frame["x"] * 3', "broken")
    again = [load_release(*kept) for kept in both]
    assert [release.score(ROWS).tolist() for release in again] == scores  # to the last bit
    assert [list(r.decide(ROWS, r.score(ROWS))) for r in again] == [["leave", "act", "act"]] * 2
    assert not list(house.rglob("release/**/__pycache__"))


def test_loading_imports_no_slow_library_though_02_dataset_needs_the_library_s_words(
    house: Path,
) -> None:
    kept = keep(house, (ROOT / "ml_workflow" / "dataset.py").read_text() + MODULE)
    assert script(SLOW, str(kept.folder), kept.digest, cwd=ROOT) == "[]\n"


def test_a_release_scores_as_promised_whatever_becomes_of_its_folder(release: Kept) -> None:
    loaded = load_release(*release)
    names = "card.json contract.json dataset.py estimator.skops examples.parquet task.yaml"
    assert sorted(os.listdir(release.folder)) == names.split()
    (release.folder / "dataset.py").unlink()
    assert loaded.keeps_its_promise() and loaded.digest == release.digest
    assert len(loaded.score(ROWS.head(1))) == 1


def test_the_current_process_decides_as_it_does_in_the_project(release: Kept) -> None:
    loaded = load_release(*release)
    today = current_process(loaded.kind, TABLE)
    assert list(loaded.current(TABLE)) == list(today.decide(TABLE, today.score(TABLE)))


def test_a_release_names_the_libraries_of_its_module_and_of_its_estimator(release: Kept) -> None:
    needed = load_release(*release).card.requirements
    assert {"numpy", "pyarrow", "scikit-learn", "skops"} <= needed.keys()
    assert not {"mlflow", "seaborn", "optuna", "ml-workflow", "skrub"} & needed.keys()


@pytest.mark.parametrize("line", ["from .research import plan", "from . import research"])
def test_a_module_that_needs_another_of_the_project_is_refused(line: str, house: Path) -> None:
    (house / "ml_workflow" / "research.py").touch()
    with pytest.raises(Refusal, match="02_dataset imports 'research' of the project"):
        keep(house, f"{line}\n{MODULE}")


@pytest.mark.parametrize(
    "name", ["dataset.py", "estimator.skops", "task.yaml", "new.py", "card.json"]
)
def test_a_changed_release_is_refused_before_anything_of_it_is_imported(
    name: str, release: Kept, tmp_path: Path
) -> None:
    path, before = release.folder / name, set(sys.modules)
    old = path.read_bytes() if path.exists() else b""
    path.write_bytes(old + b"\n")
    trap = f"open({str(tmp_path / 'imported')!r}, 'w').close()\n"
    (release.folder / "dataset.py").open("a").write(trap)
    with pytest.raises(Refusal, match="is not what was registered"):
        load_release(*release)
    assert not (tmp_path / "imported").exists()
    assert not [new for new in sys.modules.keys() - before if "dataset_" in new]


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.place),)


def test_a_pickle_in_the_place_of_the_estimator_is_never_unpickled(
    release: Kept, tmp_path: Path
) -> None:
    content = pickle.dumps(Payload(tmp_path / "unpickled"))
    (release.folder / "estimator.skops").write_bytes(content)
    refuse(release.folder, "no estimator in skops format")
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("function", [os.system, edit], ids=["os.system", "of a package"])
def test_an_estimator_that_holds_a_foreign_function_is_refused(
    function: Callable[..., object], release: Kept
) -> None:
    path = release.folder / "estimator.skops"
    path.unlink()
    skops.io.dump(make_pipeline(FunctionTransformer(function)), path)
    refuse(release.folder, "not trusted")


def test_an_estimator_of_a_foreign_type_is_refused_and_its_module_not_imported(
    release: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, module = release.folder / "estimator.skops", tmp_path / "foreign_estimator.py"
    path.unlink()
    module.write_text(FOREIGN)
    dump = "import foreign_estimator as f, skops.io, sys; skops.io.dump(f.Foreign(), sys.argv[1])"
    script(dump, str(path), cwd=tmp_path)
    (tmp_path / "foreign_estimator.py.seen").unlink()
    monkeypatch.syspath_prepend(str(tmp_path))
    refuse(release.folder, "not trusted")
    assert not (tmp_path / "foreign_estimator.py.seen").exists()


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


def link(path: Path, outside: Path) -> None:
    """Move a file out of the release and leave a link."""
    path.rename(outside)
    path.symlink_to(outside)


def pipe(path: Path, outside: Path) -> None:
    """Leave a pipe in the place of a file."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("lead_out", [link, pipe])
def test_a_release_that_leads_out_of_its_folder_is_refused(
    lead_out: Callable[[Path, Path], None], release: Kept, tmp_path: Path
) -> None:
    lead_out(release.folder / "task.yaml", tmp_path / "outside")
    with pytest.raises(Refusal, match="a link or no plain file"):
        load_release(*release)


def test_a_release_of_before_and_one_of_later_are_refused_with_what_to_do(release: Kept) -> None:
    rewrite(release.folder, format=3, library="9.1.0")
    refuse(release.folder, r"has the format 3, .* use ml-workflow 9\.1\.0, or run its task again")
    (release.folder / "card.json").rename(release.folder / "release.json")
    refuse(release.folder, "the library's modules of then, .*: run its task again and promote")


def test_a_folder_without_a_release_or_with_half_of_one_is_refused(release: Kept) -> None:
    (release.folder / "examples.parquet").unlink()
    refuse(release.folder, r"holds no examples\.parquet")
    with pytest.raises(Refusal, match="There is no release in"):
        load_release(release.folder / "nowhere", release.digest)


def test_a_release_that_needs_a_missing_library_is_refused(release: Kept) -> None:
    rewrite(release.folder, requirements={"no-such-library": "1.2.3"})
    refuse(release.folder, r"needs no-such-library 1\.2\.3, which is not installed: pip install")


@pytest.mark.parametrize(
    ("needed", "why"),
    [
        ({}, "its libraries have the versions it was made with, so release again"),
        ({"lightgbm": "3.1.0"}, r"it was made with lightgbm 3\.1\.0 \(here 4"),
    ],
)
def test_a_release_that_breaks_its_promise_is_refused_with_what_differs(
    needed: dict[str, str], why: str, release: Kept
) -> None:
    rewrite(release.folder, requirements=needed)
    examples = pd.read_parquet(release.folder / "examples.parquet")
    examples["promised_0"] += 0.01
    examples.to_parquet(release.folder / "examples.parquet", index=False)
    with pytest.raises(Refusal, match=f"does not score its own examples as promised: {why}"):
        load_release(release.folder, digest_of(contents(release.folder)))


def test_features_that_fail_are_a_refusal_in_one_sentence(house: Path) -> None:
    kept = keep(house, MODULE.replace('frame["x"] * 2', 'frame["gone"]'))
    with pytest.raises(Refusal, match=r"cannot score its own examples \('gone'\)"):
        load_release(*kept)
