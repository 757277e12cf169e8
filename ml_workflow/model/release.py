"""Releases: an estimator in skops, the package's modules as they were, and what they promise, as one folder."""

import ast
import hashlib
import importlib
import importlib.abc
import importlib.metadata
import importlib.util
import io
import json
import platform
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import yaml

from ..errors import Refusal
from ..store.address import first_line
from ..store.files import root, write_atomically, write_json

TRUSTED = re.compile(
    r"skrub\.(?!_data_ops)(selectors\.)?_\w+\.[A-Z]\w+|skrub\._dataframe\._common\.is_\w+|skrub\.selectors\._selectors\._\w+"
    r"|skrub\._table_vectorizer\._created_by_predicate|lightgbm\.(basic\.Booster|sklearn\.LGBM\w+)|xgboost\.(core\.Booster|sklearn\.XGB\w+)"
    r"|catboost\.core\.CatBoost\w*|numpy\.asarray|scipy\.sparse\._csr\.csr_matrix|zoneinfo\.ZoneInfo|pandas\.(DatetimeTZDtype|CategoricalDtype|StringDtype)|collections\.OrderedDict|numpy\.dtype|numpy\.random\._mt19937\.MT19937|sklearn\.utils\._bunch\.Bunch"
    r"|sklearn\.calibration\._\w+|sklearn\.(ensemble\._hist_gradient_boosting|_loss)\.\w+\.[A-Z]\w+|sklearn\.frozen\._frozen\.FrozenEstimator"
)
"""Beyond what skops trusts, the types a release may hold; the list is ours, never read from the release."""


def keep_estimator(path: Path, estimator: Any) -> Path:
    """Write a fitted estimator of third-party types, whole or not at all."""
    import skops.io

    return write_atomically(
        path,
        lambda p: skops.io.dump(estimator, p, compression=zipfile.ZIP_DEFLATED, compresslevel=1),
    )


def load_estimator(path: Path) -> Any:
    """A fitted estimator, or a refusal when the file holds a type that is not on our list or is no skops file."""
    import skops.io

    content = path.read_bytes()
    return skops.io.loads(content, trusted=trusted_types(content))


def trusted_types(content: bytes) -> list[str]:
    """The types beyond skops' own that an estimator's file holds; refused when one is not on our list. Imports none of them."""
    import skops.io

    try:
        types = skops.io.get_untrusted_types(data=content)
    except Exception as error:
        raise Refusal(
            "There is no estimator in skops format: the file was changed or is of another kind. It is not loaded."
        ) from error
    foreign = [name for name in types if not TRUSTED.fullmatch(name)]
    if foreign:
        raise Refusal(
            f"The estimator holds the type {foreign[0]}, which is not trusted: it is not loaded. What is trusted stands in {__name__}.TRUSTED."
        )
    return types


@dataclass(frozen=True)
class Release:
    """A loaded release: its digest, the package as it was, the fitted estimator, its contract, its card of facts and figures, and example rows with the scores promised."""

    digest: str
    package: ModuleType
    estimator: Any
    card: dict[str, Any]
    contract: dict[str, Any]
    definition: Any
    examples: pd.DataFrame

    def task(self) -> Any:
        """The task that it was released for, as the released code reads it."""
        return self.definition

    def features(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The release's inputs from a raw frame, by the code that was released."""
        table = (
            self._module("dataset").feature_step(self.task())(frame)
            if self.card["features"]
            else frame
        )
        return table[self.card["inputs"]]

    def score(self, frame: pd.DataFrame) -> Any:
        """Scores of a raw frame, by the code that was released."""
        return self._module("research").scored(self.estimator, self.features(frame))

    def decide(self, frame: pd.DataFrame, scores: Any) -> Any:
        """Actions by greatest expected value."""
        later = (
            [self.card["errors"]] if "errors" in self.card else []
        )  # which releases of before do not know
        return self._module("define").decide_by_value(
            self.task(), frame, scores, self.card["classes"], *later
        )

    def quarantined(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows that keep the contract and have a unit, and the others with the reason; together every row once."""
        dataset, unit = self._module("dataset"), self.task().unit
        promised = {
            unit: {"type": dataset.type_of(frame[unit]), "nullable": False},
            **self.contract,
        }
        good, bad = dataset.quarantined(promised, frame)
        return good, bad

    def current(self, frame: pd.DataFrame) -> Any:
        """Actions of the process that the release competes with; the card's `usual` one where that process says nothing."""
        task = self.task()
        rule, usual = task.current_process, self.card.get("usual")
        if rule is None:
            if usual is None:
                raise Refusal(
                    f"The task {task.name} names no current process, and its release no usual decision: release it again."
                )
            return np.full(len(frame), usual, dtype=object if self.card["classes"] else float)
        if rule.column and rule.column not in frame:
            raise Refusal(
                f"The current process's decisions stand in the column {rule.column!r}, which is not among the rows' columns: add it."
            )
        decided = (
            frame[rule.column]
            if rule.column
            else self._module("pipeline.expressions").evaluate(
                {"current_process.decide": rule.decide}, frame
            )["current_process.decide"]
        )
        return self._module("define").as_actions(
            task, np.asarray(decided), 0.0 if usual is None else usual
        )

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"{self.package.__name__}.{name}")


def keep_release(
    folder: Path, estimator: Any, card: dict[str, Any], run_files: Path, example: pd.DataFrame
) -> str:
    """Write a release beside its final place, then move it there; the digest of the folder is what a registry keeps."""
    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    keep_estimator(temporary / "estimator.skops", estimator)
    for name in ("task.yaml", "contract.json"):
        shutil.copy(run_files / name, temporary / name)
    modules = needed(root() / "ml_workflow")
    for name, text in modules.items():
        path = temporary / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    example.to_parquet(temporary / "examples.parquet", index=False)
    libraries = requirements(modules, (temporary / "estimator.skops").read_bytes())
    write_json(
        temporary / "release.json",
        {**card, "python": platform.python_version(), "requirements": libraries},
    )
    shutil.rmtree(folder, ignore_errors=True)
    temporary.replace(folder)
    return digest_of(contents(folder))


def needed(package: Path) -> dict[str, str]:
    """The text of the modules that 02's module reaches by imports, by their path in the package."""
    texts = {
        path.relative_to(package).as_posix(): _inwards(path, package)
        for path in package.rglob("*.py")
    }
    reached, waiting = set[str](), {"dataset.py"}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= {other for other in _imported(name, texts[name]) if other in texts} - reached
    return {name: texts[name] for name in sorted(reached)}


def _inwards(path: Path, package: Path) -> str:
    """A module's text that imports its neighbours, not the package that is installed: notebooks name it by its full name."""
    dots, text = "." * len(path.relative_to(package).parts), path.read_text(encoding="utf-8")
    if re.search(r"^\s*import ml_workflow\b", text, flags=re.M):
        raise Refusal(
            f"{path.name} says `import ml_workflow`, which a release cannot keep as it is: write `from ml_workflow.… import …`."
        )
    return re.sub(
        r"^(\s*)from ml_workflow(?:\.(\S+))? import", rf"\1from {dots}\2 import", text, flags=re.M
    )


def _imported(name: str, text: str) -> Iterator[str]:
    """The files of the package that a module may mean by its relative imports, and its folder's own."""
    folders = name.split("/")[:-1]
    yield "/".join([*folders, "__init__.py"])
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*folders[: len(folders) + 1 - node.level], *(node.module or "").split(".")]
            for parts in (base, *([*base, alias.name] for alias in node.names)):
                path = "/".join(filter(None, parts))
                yield from (f"{path}.py", f"{path}/__init__.py")


def requirements(modules: dict[str, str], estimator: bytes) -> dict[str, str]:
    """The distributions, with their versions here, that these modules import at once and that the estimator's types come from."""
    with zipfile.ZipFile(io.BytesIO(estimator)) as archive:
        names = {"pyarrow", "skops"} | set(
            re.findall(r'"__module__": "(\w+)', archive.read("schema.json").decode())
        )
    for node in (node for text in modules.values() for node in ast.parse(text).body):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).split(".")[0])
    known = importlib.metadata.packages_distributions()
    found = {
        distribution
        for name in names - sys.stdlib_module_names
        for distribution in known.get(name, [])[:1]
    }
    return {name: importlib.metadata.version(name) for name in sorted(found, key=str.lower)}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a release by its path; what is checked is what is used, whatever becomes of the folder."""
    if not folder.is_dir():
        raise Refusal(f"There is no release in {folder}: give the folder of one.")
    paths = sorted(folder.resolve().rglob("*"))
    for path in paths:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise Refusal(
                f"The release {folder.name} holds {path.name}, which is a link or no plain file: it is not loaded."
            )
    return {
        path.relative_to(folder.resolve()).as_posix(): path.read_bytes()
        for path in paths
        if path.is_file()
    }


def digest_of(files: dict[str, bytes]) -> str:
    """SHA-256 of a release: of its files' names and digests."""
    lines = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()


def load_release(folder: Path, expected: str) -> Release:
    """A release whose content has the digest that is expected; its examples must score as promised."""
    files = contents(folder)
    found = digest_of(files)
    if found != expected:
        raise Refusal(
            f"The folder {folder.name} is not what was registered (digest {found[:12]}, registered {expected[:12]}): it is not loaded."
        )
    missing = {
        "release.json",
        "contract.json",
        "task.yaml",
        "examples.parquet",
        "estimator.skops",
        "package/__init__.py",
    } - files.keys()
    if missing:
        raise Refusal(f"The release {folder.name} holds no {sorted(missing)[0]}: it is not loaded.")
    card = json.loads(files["release.json"])
    check_libraries(card)
    types = trusted_types(files["estimator.skops"])
    try:
        release = _loaded(found, files, card, types)
        kept = keeps_its_promise(release)
    except Exception as error:
        raise Refusal(
            f"The release {folder.name} cannot score its own examples ({first_line(error)}): {made_with(card)}."
        ) from error
    if not kept:
        raise Refusal(
            f"The release {folder.name} does not score its own examples as promised: {made_with(card)}."
        )
    return release


def _loaded(found: str, files: dict[str, bytes], card: dict[str, Any], types: list[str]) -> Release:
    """A release from content that was checked."""
    import skops.io

    package, estimator = (
        _package(found, files),
        skops.io.loads(files["estimator.skops"], trusted=types),
    )
    task = importlib.import_module(f"{package.__name__}.store.task").as_task(
        yaml.safe_load(files["task.yaml"]), "task.yaml"
    )
    examples = pd.read_parquet(io.BytesIO(files["examples.parquet"]))
    return Release(
        found, package, estimator, card, json.loads(files["contract.json"]), task, examples
    )


def check_libraries(card: dict[str, Any]) -> None:
    """Refuse a release that needs a library which is not installed."""
    for name, version in card.get("requirements", {}).items():
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise Refusal(
                f"The release needs {name} {version}, which is not installed: pip install '{name}=={version}', then try again."
            ) from None


def made_with(card: dict[str, Any]) -> str:
    """How the libraries here differ from those that the release was made with, by major and minor version."""
    then = {"python": card.get("python", ""), **card.get("requirements", {})}
    here = {
        name: platform.python_version() if name == "python" else importlib.metadata.version(name)
        for name in then
    }
    other = [
        f"{name} {then[name]} (here {here[name]})"
        for name in then
        if then[name].split(".")[:2] != here[name].split(".")[:2]
    ]
    if other:
        return (
            f"it was made with {', '.join(other)}; install what it was made with, or release again"
        )
    return "its libraries have the versions it was made with, so release again"


def keeps_its_promise(release: Release) -> bool:
    """Whether the examples score as they did when the release was made, to nine digits."""
    examples = release.examples
    promised = examples.filter(regex="^promised_")
    scores = np.asarray(release.score(examples.drop(columns=list(promised)))).reshape(
        len(examples), -1
    )
    return scores.shape == promised.shape and bool(
        np.allclose(scores, promised, rtol=1e-9, atol=1e-9)
    )


class Modules(importlib.abc.SourceLoader):
    """Finds and loads a release's modules in the content that was checked; writes no bytecode."""

    def __init__(self, name: str, files: dict[str, bytes]) -> None:
        self.name = name
        self.files = {
            path.replace("package/", f"{name}/", 1): content
            for path, content in files.items()
            if path.startswith("package/")
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of this release stands; None for any other."""
        return importlib.util.spec_from_loader(fullname, self) if self._file(fullname) else None

    def get_filename(self, fullname: str) -> str:
        """The module's path in the release."""
        if file := self._file(fullname):
            return file
        raise ImportError(f"The release holds no module {fullname}.")

    def get_data(self, path: str) -> bytes:
        """The module's text."""
        return self.files[path]

    def _file(self, fullname: str) -> str:
        path = fullname.replace(".", "/")
        return next(
            (file for file in (f"{path}/__init__.py", f"{path}.py") if file in self.files), ""
        )


def _package(found: str, files: dict[str, bytes]) -> ModuleType:
    """The package as it was released, under a name of its own, so that two versions live side by side; its refusals are ours."""
    name = f"ml_workflow_{found}"
    if name not in sys.modules:
        finder = Modules(name, files)
        sys.meta_path.append(finder)
        try:
            importlib.import_module(f"{name}.errors").Refusal = Refusal  # type: ignore[attr-defined]
            importlib.import_module(f"{name}.dataset")
        except BaseException:
            sys.meta_path.remove(finder)
            for module in [m for m in sys.modules if m.split(".")[0] == name]:
                del sys.modules[module]
            raise
    return sys.modules[name]
