"""The six notebooks, and values for their parameters that are checked before any kernel starts."""

import ast
import hashlib
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml

from ..errors import Refusal, nearest
from ..store.files import root
from ..store.run import STAGES
from ..task.file import read_yaml

RESERVED = {"run", "task"}
"""Parameters that a run sets itself."""
TYPES: dict[str, tuple[Any, str]] = {
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
    "str": (str, "a text"),
}
"""The Python types of a declared type's values, and what the type is called."""
PASSWORD = r"[\w+]+://[^/@]*:(?!\$\{\w+\}@)[^/@]*@"
"""An address with a password that is not left to the environment."""
Parameters = dict[str, dict[str, Any]]
"""Values of the notebooks' parameters, by stage and name."""


class Parameter(NamedTuple):
    """A parameter as its cell declares it."""

    type: str
    default: Any


def path_of(stage: str) -> Path:
    """The notebook of a stage."""
    return root() / "nbs" / f"{stage}.ipynb"


def stage_named(word: str) -> str:
    """The stage of that name, number or both: '03_poc', 'poc' or '3'."""
    for stage in STAGES:
        if word in (stage, stage[3:], stage[:2], str(int(stage[:2]))):
            return stage
    hint, names = nearest(word, STAGES), ", ".join(STAGES)
    raise Refusal(f"There is no stage {word!r}.{hint} The stages are {names}.")


def notebook(stage: str) -> nbformat.NotebookNode:
    """The notebook of a stage, as it stands in nbs/."""
    return read_notebook(path_of(stage))


@cache
def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file, which is read once."""
    return nbformat.read(path, as_version=4)


def parameters(stage: str) -> dict[str, Parameter]:
    """Name, type and default of each parameter that the stage's tagged cell declares."""
    cells = [c for c in notebook(stage).cells if "parameters" in c.metadata.get("tags", [])]
    declared = {}
    for node in ast.parse("\n".join(cell.source for cell in cells)).body:
        if isinstance(node, ast.AnnAssign) and node.value:
            declared[ast.unparse(node.target)] = Parameter(
                ast.unparse(node.annotation), ast.literal_eval(node.value)
            )
    return declared


def code_hash(stage: str) -> str:
    """SHA-256 of the notebook's code cells: prose may change, the code may not."""
    code = "\0".join(cell.source for cell in notebook(stage).cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def parameters_by_stage(given: Mapping[str, Any]) -> Parameters:
    """Values by stage from `name` (every stage that has it) or `stage.name` (one), typed.

    Raises Refusal, before any kernel starts, for a name that no notebook declares or another type.
    """
    values: Parameters = {stage: {} for stage in STAGES}
    for address, value in sorted(given.items(), key=lambda item: "." in item[0]):
        stages, name = _addressed(address)
        for stage in stages:
            values[stage][name] = as_type(address, value, parameters(stage)[name].type)
    return values


def _addressed(address: str) -> tuple[list[str], str]:
    """The stages whose parameter an address names, and the parameter's name."""
    stage, _, name = address.rpartition(".")
    stages = [stage_named(stage)] if stage else list(STAGES)
    open_to_all = {s: parameters(s).keys() - RESERVED for s in stages}
    if having := [s for s in stages if name in open_to_all[s]]:
        return having, name
    known = sorted(set().union(*open_to_all.values()))
    what = f"{stages[0]} has no" if stage else "No notebook has a"
    hint, names = nearest(name, known), ", ".join(known)
    raise Refusal(f"{what} parameter {name!r}.{hint} There are: {names}.")


def as_type(name: str, value: Any, wanted: str) -> Any:
    """The value in the declared type; text is read as YAML."""
    types, words = TYPES.get(wanted, (object, ""))
    parsed: Any = value
    if isinstance(value, str) and wanted != "str":
        with suppress(yaml.YAMLError, ValueError):  # YAML takes 1e-3 for a text
            parsed = float(value) if wanted == "float" else yaml.safe_load(value)
    if not isinstance(parsed, types) or (isinstance(parsed, bool) and wanted in ("int", "float")):
        raise Refusal(f"The parameter {name} takes {words}, but {value!r} was given.")
    if isinstance(parsed, str) and re.match(PASSWORD, parsed):
        raise Refusal(
            f"The parameter {name} holds a password, and parameters stand in the run's record: "
            "write ${NAME} for it, and set NAME in the environment."
        )
    return float(parsed) if wanted == "float" else parsed


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """`name=value` texts as a mapping."""
    split = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise Refusal(f"{text!r} is no parameter: write name=value, such as folds=3.")
        split[name.strip()] = value.strip()
    return split


def from_file(path: Path) -> dict[str, Any]:
    """Parameters from a YAML file: `name: value`, or `stage: {name: value}`."""
    if not path.is_file():
        raise Refusal(f"There is no parameter file {path}.")
    content = read_yaml(path) or {}
    if not isinstance(content, dict):
        raise Refusal(f"{path} must be a mapping of names to values.")
    values: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            values |= {f"{key}.{name}": own for name, own in value.items()}
        else:
            values[str(key)] = value
    return values
