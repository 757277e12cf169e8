"""Releases: an estimator in skops, the package's modules as they were, and what they promise, as one folder."""

import importlib.util
import json
import re
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from ..errors import Refusal
from .files import digest, root, write_atomically, write_json

TRUSTED = (
    "skrub.", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBM", "xgboost.core.Booster", "xgboost.sklearn.XGB",
    "catboost.core.CatBoost", "collections.OrderedDict", "numpy.dtype", "numpy.random._mt19937.", "sklearn.utils._bunch.Bunch",
    "sklearn.calibration._", "sklearn.ensemble._hist_gradient_boosting.", "sklearn._loss.", "sklearn.frozen.",
)  # fmt: skip
"""Beyond what skops trusts, the types a release may hold; the list is ours, never read from the release."""


def keep_estimator(path: Path, estimator: Any) -> Path:
    """Write a fitted estimator of third-party types, whole or not at all."""
    import skops.io

    return write_atomically(path, lambda p: skops.io.dump(estimator, p, compression=zipfile.ZIP_DEFLATED, compresslevel=1))


def load_estimator(path: Path) -> Any:
    """A fitted estimator, or a refusal when the file holds a type that is not on our list or is no skops file."""
    import skops.io

    try:
        types = skops.io.get_untrusted_types(file=path)
    except Exception as error:
        raise Refusal(f"{path.name} is no estimator in skops format: it was changed or is of another kind.") from error
    foreign = [t for t in types if not t.startswith(TRUSTED)]
    if foreign:
        raise Refusal(f"{path.name} holds the type {foreign[0]}, which is not trusted: it is not loaded.")
    return skops.io.load(path, trusted=types)


@dataclass(frozen=True)
class Release:
    """A loaded release: the package as it was, its fitted estimator, its contract and its promises."""

    folder: Path
    package: ModuleType
    estimator: Any
    card: dict[str, Any]
    contract: dict[str, Any]

    def features(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The release's inputs from a raw frame, by the code that was released."""
        dataset, task = self._module("dataset"), self.task()
        table = dataset.feature_step(task)(frame) if self.card["features"] else frame
        return table[self.card["inputs"]]

    def score(self, frame: pd.DataFrame) -> Any:
        """Scores of a raw frame, by the code that was released."""
        return self._module("research").scored(self.estimator, self.features(frame))

    def decide(self, frame: pd.DataFrame, scores: Any) -> Any:
        """Actions by greatest expected value."""
        return self._module("define").decide_by_value(self.task(), frame, scores, self.card["classes"], self.card.get("errors"))

    def task(self) -> Any:
        """The task that it was released for."""
        return self._module("store.task").read_task(self.folder / "task.yaml")

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"{self.package.__name__}.{name}")


def keep_release(folder: Path, estimator: Any, card: dict[str, Any], run_files: Path, example: pd.DataFrame) -> str:
    """Write a release beside its final place, then move it there; the digest of the folder is what a registry keeps."""
    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    keep_estimator(temporary / "estimator.skops", estimator)
    for name in ("task.yaml", "contract.json"):
        shutil.copy(run_files / name, temporary / name)
    shutil.copytree(root() / "ml_workflow", temporary / "package", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    _lead_inwards(temporary / "package")
    example.to_parquet(temporary / "examples.parquet", index=False)
    write_json(temporary / "release.json", card)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.replace(folder)
    return digest(folder)


def _lead_inwards(package: Path) -> None:
    """Make the modules import each other, not the package that is installed: notebooks name it by its full name."""
    for path in package.rglob("*.py"):
        dots = "." * len(path.relative_to(package).parts)
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"^(\s*)from ml_workflow(?:\.(\S+))? import", rf"\1from {dots}\2 import", text, flags=re.M), encoding="utf-8")


def load_release(folder: Path, expected: str) -> Release:
    """A release whose content has the digest that the registry expects; its examples must score as promised."""
    found = digest(folder)
    if found != expected:
        raise Refusal(f"The release {folder.name} is not what was registered (digest {found[:12]}, registered {expected[:12]}): it is not loaded.")
    estimator = load_estimator(folder / "estimator.skops")
    card = json.loads((folder / "release.json").read_text(encoding="utf-8"))
    contract = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
    release = Release(folder, _package(folder, found), estimator, card, contract)
    examples = pd.read_parquet(folder / "examples.parquet")
    promised = examples.filter(regex="^promised_").to_numpy().squeeze()
    scores = release.score(examples.drop(columns=list(examples.filter(regex="^promised_"))))
    if not bool((abs(scores - promised) < 1e-9).all()):
        raise Refusal(f"The release {folder.name} does not score its own examples as promised: the installed libraries differ from those it was made with.")
    return release


def _package(folder: Path, found: str) -> ModuleType:
    """The package as it was released, imported under a name of its own, so that two versions live side by side."""
    name = f"ml_workflow_{found[:12]}"
    if name not in sys.modules:
        place = folder / "package"
        spec = importlib.util.spec_from_file_location(name, place / "__init__.py", submodule_search_locations=[str(place)])
        if spec is None or spec.loader is None:
            raise Refusal(f"The release {folder.name} holds no package.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            spec.loader.exec_module(module)
            importlib.import_module(f"{name}.dataset")
        finally:
            sys.dont_write_bytecode = before
    return sys.modules[name]

