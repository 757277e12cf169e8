"""The six notebooks: their parameters, and values for them that are checked before any kernel starts."""

import ast
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml

from ..errors import Refusal, nearest
from ..store.files import root
from ..store.run import STAGES

RESERVED = ("run", "task")
"""Parameters that a run sets itself."""
WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}


class Parameter(NamedTuple):
    """A parameter as its cell declares it."""

    type: str
    default: Any


def path_of(stage: str) -> Path:
    """The notebook of a stage."""
    return root() / "nbs" / f"{stage}.ipynb"


def stage_named(word: str) -> str:
    """The stage of that name, number or both: '03_poc', 'poc' or '3'."""
    found = [s for s in STAGES if word in (s, s[3:], s[:2], str(int(s[:2])))]
    if not found:
        raise Refusal(
            f"There is no stage {word!r}.{nearest(word, STAGES)} The stages are {', '.join(STAGES)}."
        )
    return found[0]


@cache
def notebook(stage: str) -> nbformat.NotebookNode:
    """The notebook of a stage, as it stands in nbs/."""
    return nbformat.read(path_of(stage), as_version=4)


@cache
def parameters(stage: str) -> dict[str, Parameter]:
    """Name, type and default of each parameter that the stage's tagged cell declares."""
    cells = [c for c in notebook(stage).cells if "parameters" in c.metadata.get("tags", [])]
    declared = {}
    for node in ast.parse("\n".join(c.source for c in cells)).body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.value is not None
        ):
            declared[node.target.id] = Parameter(
                ast.unparse(node.annotation), ast.literal_eval(node.value)
            )
    return declared


def code_hash(stage: str) -> str:
    """SHA-256 of the notebook's code cells: prose may change, the code may not."""
    code = "\0".join(c.source for c in notebook(stage).cells if c.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


def checked(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Values by stage from `name` (every stage that has it) or `stage.name` (one), with their declared types.

    Raises Refusal, before any kernel starts, for a name that no notebook declares or a value of another type.
    """
    values: dict[str, dict[str, Any]] = {stage: {} for stage in STAGES}
    for name, value in sorted(given.items(), key=lambda item: "." in item[0]):
        stages, short = _addressed(name)
        for stage in stages:
            values[stage][short] = typed(name, value, parameters(stage)[short].type)
    return values


def _addressed(name: str) -> tuple[list[str], str]:
    stage, _, short = name.rpartition(".")
    stages = [stage_named(stage)] if stage else list(STAGES)
    having = [s for s in stages if short in parameters(s) and short not in RESERVED]
    if not having:
        known = sorted({p for s in stages for p in parameters(s)} - set(RESERVED))
        where = f"{stages[0]} has" if stage else "No notebook has"
        raise Refusal(
            f"{where} {'no' if stage else 'a'} parameter {short!r}.{nearest(short, known)} There are: {', '.join(known)}."
        )
    return having, short


def typed(name: str, value: Any, wanted: str) -> Any:
    """The value in the declared type; text is read as YAML."""
    try:
        parsed = yaml.safe_load(value) if isinstance(value, str) and wanted != "str" else value
    except yaml.YAMLError:
        parsed = value
    fits = {
        "int": isinstance(parsed, int) and not isinstance(parsed, bool),
        "float": isinstance(parsed, (int, float)) and not isinstance(parsed, bool),
        "bool": isinstance(parsed, bool),
        "str": isinstance(parsed, str),
    }
    if not fits.get(wanted, True):
        raise Refusal(f"The parameter {name} takes {WORDS[wanted]}, but {value!r} was given.")
    if isinstance(parsed, str) and re.match(r"[\w+]+://[^/@]*:(?!\$\{\w+\}@)[^/@]*@", parsed):
        raise Refusal(
            f"The parameter {name} holds a password, and parameters stand in the run's record: write ${{NAME}} for it, and set NAME in the environment."
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


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; raises Refusal where it is none."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Refusal(
            f"{path} is not YAML: {getattr(error, 'problem', None) or 'it is not text'}."
        ) from None


def from_file(path: Path) -> dict[str, Any]:
    """Parameters from a YAML file: `name: value`, or `stage: {name: value}`."""
    if not path.is_file():
        raise Refusal(f"There is no parameter file {path}.")
    content = read_yaml(path) or {}
    if not isinstance(content, dict):
        raise Refusal(f"{path} must be a mapping of names to values.")
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= (
            {f"{key}.{n}": v for n, v in value.items()}
            if isinstance(value, dict)
            else {str(key): value}
        )
    return flat
