"""Releases: a fitted estimator, the project's features as they were, and what both promise."""

import ast
import hashlib
import importlib.abc
import importlib.metadata
import io
import json
import platform
import re
import shutil
import sys
import zipfile
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import yaml

from .. import __version__
from ..data.columns import Column, type_of
from ..data.contract import Contract
from ..data.features import feature_step
from ..decision.kinds import Array, Kind, kind_of
from ..decision.process import recorded
from ..errors import Refusal
from ..store.address import first_line
from ..store.files import package, root, write_atomically, write_json
from ..task.definition import Task
from ..task.file import as_task
from .fitting import scored

FORMAT = 2
"""How a release is written; 1 (unnumbered) held the library's own modules and is refused."""
FILES = {
    "card.json",
    "contract.json",
    "task.yaml",
    "dataset.py",
    "examples.parquet",
    "estimator.skops",
}
TRUSTED = re.compile(
    r"skrub\.(?!_data_ops)(selectors\.)?_\w+\.[A-Z]\w+"
    r"|skrub\._dataframe\._common\.is_\w+|skrub\.selectors\._selectors\._\w+"
    r"|skrub\._table_vectorizer\._created_by_predicate"
    r"|lightgbm\.(basic\.Booster|sklearn\.LGBM\w+)|xgboost\.(core\.Booster|sklearn\.XGB\w+)"
    r"|catboost\.core\.CatBoost\w*|collections\.OrderedDict|zoneinfo\.ZoneInfo"
    r"|numpy\.(asarray|dtype|random\._mt19937\.MT19937)|scipy\.sparse\._csr\.csr_matrix"
    r"|pandas\.(DatetimeTZDtype|CategoricalDtype|StringDtype)"
    r"|sklearn\.(utils\._bunch\.Bunch|calibration\._\w+|frozen\._frozen\.FrozenEstimator)"
    r"|sklearn\.(ensemble\._hist_gradient_boosting|_loss)\.\w+\.[A-Z]\w+"
)
"""Beyond what skops trusts, the types a release may hold; the list is ours, never the release's."""


@dataclass(frozen=True)
class Card:
    """Facts and figures of a release."""

    task: str
    """The task that it decides for."""
    run: str
    """The run that made it."""
    steps: list[str]
    """The members of its blend."""
    features: bool
    """Whether the task's features are made before the estimator sees a row."""
    inputs: list[str]
    """The columns that the estimator takes, in its order."""
    classes: list[str]
    """The classes, in the order of a score's columns; none for numbers."""
    measure: str
    """The metric that it was chosen by."""
    out_of_fold: float
    """That metric on rows not fitted on."""
    rows: int
    """How many rows it was fitted on."""
    residuals: list[float] | None
    """Quantiles of outcome less score on rows not fitted on; None for classes."""
    usual: Any
    """The decision where the current process gives none."""
    python: str = field(default_factory=platform.python_version)
    """The version of Python that it was made with."""
    library: str = __version__
    """The version of ml-workflow that it was made with."""
    requirements: dict[str, str] = field(default_factory=dict)
    """The distributions that it needs, with the versions it was made with."""
    format: int = FORMAT
    """How the folder is written."""


@dataclass(frozen=True)
class Release:
    """A loaded release, checked.

    `examples` are rows with the scores promised for them, in columns `promised_0` and so on;
    `dataset` is the project's module 02_dataset as it was released.
    """

    digest: str
    kind: Kind
    estimator: Any
    card: Card
    contract: Contract
    examples: pd.DataFrame
    dataset: ModuleType

    @property
    def task(self) -> Task:
        """The task that it was released for."""
        return self.kind.task

    def features(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The estimator's inputs from a raw frame, by the features that were released."""
        table = feature_step(self.task, self.dataset)(frame) if self.card.features else frame
        return table[self.card.inputs]

    def score(self, frame: pd.DataFrame) -> Array:
        """Scores of a raw frame, shape (n,) or (n, classes)."""
        return scored(self.estimator, self.features(frame))

    def decide(self, frame: pd.DataFrame, scores: Array) -> Array:
        """Actions by greatest expected value, shape (n,)."""
        return self.kind.decide(frame, scores, self.card.residuals)

    def quarantine(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows that keep the contract and have a unit, and the others with the reason."""
        unit = self.task.unit
        keyed = {unit: Column(type_of(frame[unit]), nullable=False), **self.contract}
        return Contract(keyed).quarantine(frame)

    def current(self, frame: pd.DataFrame) -> Array:
        """Actions of the process that the release competes with, shape (n,).

        Where that process says nothing the card's usual action stands in.
        """
        rule, usual = self.task.current_process, self.card.usual
        if rule is None:
            return np.full(len(frame), usual, dtype=self.kind.choose(object, float))
        if rule.column and rule.column not in frame:
            raise Refusal(
                f"The current process's decisions stand in the column {rule.column!r}, "
                "which is not among the rows' columns: add it."
            )
        return self.kind.actions(recorded(rule, frame), usual or 0.0)

    def keeps_its_promise(self) -> bool:
        """Whether the examples score as they did when the release was made, to nine digits."""
        promised = self.examples.filter(regex="^promised_")
        scores = self.score(self.examples.drop(columns=list(promised)))
        found = np.asarray(scores).reshape(len(promised), -1)
        return found.shape == promised.shape and np.allclose(found, promised, 1e-9, 1e-9)


def keep_estimator(path: Path, estimator: Any) -> Path:
    """Write a fitted estimator of third-party types, whole or not at all."""
    from skops.io import dump

    packed = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 1}
    return write_atomically(path, lambda place: dump(estimator, place, **packed))


def load_estimator(path: Path) -> Any:
    """A fitted estimator; refused when it holds a type that is not trusted, or is no skops file."""
    import skops.io

    content = path.read_bytes()
    return skops.io.loads(content, trusted=trusted_types(content))


def trusted_types(content: bytes) -> list[str]:
    """The types beyond skops' own that an estimator's file holds; imports none of them.

    Raises Refusal when one is not on our list.
    """
    import skops.io

    try:
        types = skops.io.get_untrusted_types(data=content)
    except Exception as error:
        raise Refusal(
            "There is no estimator in skops format: the file was changed or is of another kind. "
            "It is not loaded."
        ) from error
    foreign = [name for name in types if not TRUSTED.fullmatch(name)]
    if foreign:
        raise Refusal(
            f"The estimator holds the type {foreign[0]}, which is not trusted: it is not loaded. "
            f"What is trusted stands in {__name__}.TRUSTED."
        )
    return types


def keep_release(
    folder: Path, estimator: Any, card: Card, run_files: Path, examples: pd.DataFrame
) -> str:
    """Write a release beside its final place, then move it there; the digest a registry keeps.

    Task and contract come from the run's files; `examples` hold the scores promised.
    """
    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    keep_estimator(temporary / "estimator.skops", estimator)
    for name in ("task.yaml", "contract.json"):
        shutil.copy(run_files / name, temporary / name)
    shutil.copy(root() / package() / "dataset.py", temporary / "dataset.py")
    examples.to_parquet(temporary / "examples.parquet", index=False)
    needed = requirements(temporary / "dataset.py", temporary / "estimator.skops")
    write_json(temporary / "card.json", asdict(replace(card, requirements=needed)))
    shutil.rmtree(folder, ignore_errors=True)
    temporary.replace(folder)
    return digest_of(contents(folder))


def requirements(module: Path, estimator: Path) -> dict[str, str]:
    """The distributions, with their versions here, of a module's imports and an estimator's types.

    Raises Refusal where the module needs another one of the project, which a release does not hold.
    """
    with zipfile.ZipFile(estimator) as archive:
        schema = archive.read("schema.json").decode()
    names = {"pyarrow", "skops", *re.findall(r'"__module__": "(\w+)', schema)}
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            _check_import(node)
    known = importlib.metadata.packages_distributions()
    names -= {"ml_workflow", package()}
    found = {distribution for name in names for distribution in known.get(name, [])[:1]}
    return {name: importlib.metadata.version(name) for name in sorted(found, key=str.lower)}


def _check_import(node: ast.ImportFrom) -> None:
    """Refuse an import of a module that the project exports beside 02_dataset."""
    for module in [node.module.split(".")[0]] if node.module else [a.name for a in node.names]:
        if module != "errors" and (root() / package() / f"{module}.py").exists():
            raise Refusal(
                f"02_dataset imports {module!r} of the project, which a release does not hold: "
                "write in 02_dataset itself what its functions need, and export."
            )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a release by its path, so that what is checked is what is used."""
    if not folder.is_dir():
        raise Refusal(f"There is no release in {folder}: give the folder of one.")
    place = folder.resolve()
    paths = sorted(place.rglob("*"))
    for path in paths:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise Refusal(
                f"The release {folder.name} holds {path.name}, which is a link or no plain file: "
                "it is not loaded."
            )
    return {p.relative_to(place).as_posix(): p.read_bytes() for p in paths if p.is_file()}


def digest_of(files: dict[str, bytes]) -> str:
    """SHA-256 of a release: of its files' names and digests."""
    lines = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()


def load_release(folder: Path, expected: str) -> Release:
    """A release whose content has the digest expected; its examples must score as promised."""
    files = contents(folder)
    found = digest_of(files)
    if found != expected:
        raise Refusal(
            f"The folder {folder.name} is not what was registered "
            f"(digest {found[:12]}, registered {expected[:12]}): it is not loaded."
        )
    card = _card(folder.name, files)
    check_libraries(card)
    types = trusted_types(files["estimator.skops"])
    try:
        release = _loaded(found, files, card, types)
        if release.keeps_its_promise():
            return release
        fault = "does not score its own examples as promised"
    except Exception as error:
        fault = f"cannot score its own examples ({first_line(error)})"
    raise Refusal(f"The release {folder.name} {fault}: {made_with(card)}.")


def _card(name: str, files: dict[str, bytes]) -> Card:
    """The card of a release; refused where files are missing or the format is not one we read."""
    if "release.json" in files and "card.json" not in files:
        raise Refusal(
            f"The release {name} holds the library's modules of then, which ml-workflow no longer "
            "runs: run its task again and promote the new version."
        )
    if missing := FILES - files.keys():
        raise Refusal(f"The release {name} holds no {sorted(missing)[0]}: it is not loaded.")
    content = json.loads(files["card.json"])
    if content.get("format") != FORMAT or content.keys() != {part.name for part in fields(Card)}:
        raise Refusal(
            f"The release {name} has the format {content.get('format')!r}, and this ml-workflow "
            f"({__version__}) reads {FORMAT}: use ml-workflow {content.get('library', '')}, "
            "or run its task again and promote the new version."
        )
    return Card(**content)


def _loaded(digest: str, files: dict[str, bytes], card: Card, types: list[str]) -> Release:
    """A release from content that was checked."""
    import skops.io

    task = as_task(yaml.safe_load(files["task.yaml"]), "task.yaml")
    return Release(
        digest,
        kind_of(task, card.classes),
        skops.io.loads(files["estimator.skops"], trusted=types),
        card,
        Contract.from_json(json.loads(files["contract.json"])),
        pd.read_parquet(io.BytesIO(files["examples.parquet"])),
        _dataset(digest, files["dataset.py"]),
    )


def check_libraries(card: Card) -> None:
    """Refuse a release that needs a library which is not installed."""
    for name, version in card.requirements.items():
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise Refusal(
                f"The release needs {name} {version}, which is not installed: "
                f"pip install '{name}=={version}', then try again."
            ) from None


def made_with(card: Card) -> str:
    """How the versions here differ from those it was made with, as far as the minor one."""
    then = {"python": card.python, "ml-workflow": card.library, **card.requirements}
    here = {name: importlib.metadata.version(name) for name in card.requirements}
    here |= {"python": platform.python_version(), "ml-workflow": __version__}
    other = [
        f"{name} {version} (here {here[name]})"
        for name, version in then.items()
        if version.split(".")[:2] != here[name].split(".")[:2]
    ]
    if not other:
        return "its libraries have the versions it was made with, so release again"
    return f"it was made with {', '.join(other)}; install what it was made with, or release again"


class _Source(importlib.abc.InspectLoader):
    """Loads a module from content that was checked; writes no bytecode."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def get_source(self, fullname: str) -> str:
        """The module's text."""
        return self.content.decode()


def _dataset(digest: str, content: bytes) -> ModuleType:
    """The project's module as it was released; two live side by side, by their names.

    It stands in the library's package, where a relative import means what it meant in the template.
    """
    name = f"ml_workflow.dataset_{digest}"
    if name not in sys.modules:
        module = ModuleType(name)
        module.__package__ = "ml_workflow"
        _Source(content).exec_module(module)
        sys.modules[name] = module
    return sys.modules[name]
