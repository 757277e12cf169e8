"""The file of a task: found by its name, read, written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ..errors import Refusal, nearest
from ..store.files import root, track, write_text
from ..store.run import Run
from .definition import Task

Model = TypeVar("Model", bound=BaseModel)


def task_path(name: str) -> Path:
    """The file of a task given by its name in tasks/ or by its path."""
    given = Path(name).expanduser()
    path = root() / (given if given.suffix in (".yaml", ".yml") else f"tasks/{name}.yaml")
    if not path.is_file():
        known = sorted(p.stem for p in (root() / "tasks").glob("*.yaml"))
        hint = nearest(name, known) or f" There are: {', '.join(known)}."
        raise Refusal(f"There is no task {name!r} (no file {path}).{hint}")
    return path


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, or a Refusal that says where it is none."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" line {place.line + 1}, column {place.column + 1}" if place else ""
        problem = getattr(error, "problem", None) or "it is not text"
        raise Refusal(f"{path.name}{where} is not YAML: {problem}.") from None


def read_task(path: Path) -> Task:
    """The task in a YAML file, or a Refusal that names the key at fault."""
    content = read_yaml(track(path))
    if not isinstance(content, dict):
        raise Refusal(f"{path.name} is not a task: it must be a mapping that begins with `name:`.")
    return as_task(content, path.name)


def as_task(content: Mapping[str, Any], name: str) -> Task:
    """The content of a task file as a Task; `name` stands in the refusal."""
    return as_model(Task, content, name)


def as_model(model: type[Model], content: Mapping[str, Any], name: str) -> Model:
    """The content of a file as a model, or a Refusal that names the file and the key at fault."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise Refusal(f"{name}: {_sentence(error, model)}") from None


def write_task(path: Path, task: Task) -> Path:
    """Write a task, as a run keeps it."""
    content = task.model_dump(exclude_defaults=True, mode="json")
    return write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))


def task_of(run: Run) -> Task:
    """The task of a run, as stage 00 kept it."""
    return read_task(run.input("task.yaml", "00_define"))


def keep_task(run: Run, task: Task) -> Path:
    """Keep the task in a run's folder, for the stages to come."""
    return write_task(run.output("task.yaml"), task)


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """The first fault, of an unknown key before others: a misspelt one is missing too."""
    fault = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    *parents, key = fault["loc"] or [""]
    place = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        known = _known_keys(model, parents)
        hint = nearest(str(key), known) or f" Known: {', '.join(known)}."
        return f"the key {place!r} is not known.{hint}"
    if fault["type"] == "missing":
        return f"the key {place!r} is missing."
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message[0].lower() + message[1:]}." if place else f"{message}."


def _known_keys(model: Any, location: Sequence[str | int]) -> list[str]:
    """The keys known at a place in a file that holds such a model."""
    for part in location:
        if part in model.model_fields:  # else an index or a key of a mapping
            annotation = model.model_fields[part].annotation
            options = [annotation, *getattr(annotation, "__args__", ())]
            model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return list(model.model_fields)
