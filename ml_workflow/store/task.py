"""The task file: what is decided, from which data, and what each decision is worth."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import Refusal, nearest
from .files import reading, root, write_text

Amount = float | str
"""A number, or an SQL expression over the table's columns."""


class Part(BaseModel):
    """A part of the task file; keys that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Part):
    """A table: a file, a folder of files, or a database URL with a query; joined to the first on the unit.

    A history has many rows a unit: `aggregate` says how they become one, as SQL by name or as a function of 02_dataset.
    `time` is the column that says when a row was known; of the first source, when the decision is made.
    """

    name: str
    uri: str
    query: str | None = None
    available: Literal["at decision", "after decision"] = "at decision"
    aggregate: dict[str, str] | str | None = None
    time: str | None = None


class Target(Part):
    """What is predicted; `positive` is the label that a binary target's score is the probability of."""

    column: str
    kind: Literal["binary", "multiclass", "regression"]
    positive: str | int | float | bool | None = None
    known_after: str = "at once"


class CurrentProcess(Part):
    """How it is decided today: an SQL expression, or a column of recorded decisions."""

    describe: str
    decide: str | None = None
    column: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "CurrentProcess":
        if (self.decide is None) == (self.column is None):
            raise ValueError("give either `decide` (an SQL expression) or `column` (recorded decisions)")
        return self


class Outcomes(Part):
    """What one decision is worth when the truth is positive, and when it is negative."""

    positive: Amount
    negative: Amount


class Value(Part):
    """What a decision is worth in the currency; costs are of the model that would replace the current process."""

    currency: str = "right decisions"
    because: str = ""
    act: Outcomes | None = None
    leave: Outcomes | None = None
    matrix: dict[str, dict[str, Amount]] | None = None
    over: Amount | None = None
    under: Amount | None = None
    decisions_per_month: int | None = Field(None, gt=0)
    build_cost: float = Field(0, ge=0)
    run_cost_per_month: float = Field(0, ge=0)


class Split(Part):
    """How the holdout is set apart: by hash of the unit, the latest in time, whole groups, or as a column says."""

    by: Literal["random", "time", "group", "given"] = "random"
    column: str | None = None
    holdout: float = Field(0.2, gt=0, lt=0.9)

    @model_validator(mode="after")
    def _column(self) -> "Split":
        if self.by != "random" and self.column is None:
            raise ValueError(f"`by: {self.by}` needs `column:`, the column that says so")
        return self


class Success(Part):
    """When the money is good enough."""

    min_roi: float = 0.0
    horizon_months: int = Field(12, gt=0)


class Retrain(Part):
    """When a challenger may replace the champion: it earns more a decision, surely by more than the margin in the currency."""

    margin: float = Field(0.0, ge=0)


class Reference(Part):
    """How others solved it, what they reached, and how far that can be compared."""

    who: str
    approach: str
    reached: str
    comparable: str
    link: str = ""


class Task(Part):
    """A whole task file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    question: str
    unit: str
    sources: list[Source] = Field(min_length=1)
    target: Target
    current_process: CurrentProcess | None = None
    value: Value = Value()
    split: Split = Split()
    success: Success = Success()
    retrain: Retrain = Retrain()
    features: str | None = None
    exclude: list[str] = []
    private: list[str] = []
    wanted: list[str] = []
    research: list[Reference] = []

    @model_validator(mode="after")
    def _fits(self) -> "Task":
        kind, value = self.target.kind, self.value
        first, *others = self.sources
        if first.available == "after decision" or first.aggregate:
            raise ValueError(f"sources.0 ({first.name}) holds the examples: it must be available at decision, and is not aggregated")
        if untimed := [s.name for s in others if s.time and not first.time]:
            raise ValueError(f"the source {untimed[0]} has a `time`, but sources.0 ({first.name}) has none to compare it with: say which column holds the moment of the decision")
        if kind == "binary" and self.target.positive is None:
            raise ValueError("target.positive is missing: the label that the score is the probability of")
        wrong = {"binary": ("matrix", "over", "under"), "multiclass": ("act", "leave", "over", "under")}
        for key in wrong.get(kind, ("act", "leave", "matrix")):
            if getattr(value, key) is not None:
                raise ValueError(f"value.{key} does not fit a {kind} target")
        for one, other in (("act", "leave"), ("over", "under")):
            if (getattr(value, one) is None) != (getattr(value, other) is None):
                raise ValueError(f"value.{one} and value.{other} belong together: give both or neither")
        return self

    @property
    def has_values(self) -> bool:
        """Whether the task says what decisions are worth."""
        return any(part is not None for part in (self.value.act, self.value.matrix, self.value.over))

    @property
    def inputs_left_out(self) -> list[str]:
        """Columns that no model may see; a key that orders the rows in time may be seen, as a time."""
        column = [self.split.column] if self.split.column and self.split.by in ("given", "group") else []
        recorded = [self.current_process.column] if self.current_process and self.current_process.column else []
        key = [] if self.split.by == "time" and self.split.column == self.unit else [self.unit]
        return [*key, self.target.column, *self.exclude, *column, *recorded]


def task_path(name: str) -> Path:
    """The file of a task given by its name in tasks/ or by its path."""
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml"):
        path = path if path.is_absolute() else root() / path
    else:
        path = root() / "tasks" / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in (root() / "tasks").glob("*.yaml"))
        hint = nearest(name, known) or f" There are: {', '.join(known)}."
        raise Refusal(f"There is no task {name!r} (no file {path}).{hint}")
    return path


def read_task(path: Path) -> Task:
    """The task in a YAML file, or a Refusal that names the key at fault."""
    try:
        content = yaml.safe_load(reading(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" line {place.line + 1}, column {place.column + 1}" if place else ""
        problem = getattr(error, "problem", None) or "it is not text"
        raise Refusal(f"{path.name}{where} is not YAML: {problem}.") from None
    if not isinstance(content, dict):
        raise Refusal(f"{path.name} is not a task: it must be a mapping that begins with `name:`.")
    return as_task(content, path.name)


def as_task(content: Mapping[str, Any], name: str) -> Task:
    """The content of a task file as a Task; `name` stands in the refusal."""
    try:
        return Task.model_validate(content)
    except ValidationError as error:
        raise Refusal(f"{name}: {_sentence(error)}") from None


def write_task(path: Path, task: Task) -> Path:
    """Write a task, as a run keeps it."""
    content = task.model_dump(exclude_defaults=True, mode="json")
    return write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))


def _sentence(error: ValidationError) -> str:
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _known(fault["loc"][:-1])
        return f"the key {place!r} is not known.{nearest(str(fault['loc'][-1]), known) or ' Known: ' + ', '.join(known) + '.'}"
    if fault["type"] == "missing":
        return f"the key {place!r} is missing."
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message[0].lower() + message[1:]}." if place else f"{message}."


def _known(location: tuple[str | int, ...]) -> list[str]:
    """The keys known at a place in the task file."""
    model: Any = Task
    for part in location:
        if not isinstance(part, int):
            annotation = model.model_fields[part].annotation
            options = [annotation, *getattr(annotation, "__args__", ())]
            model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return list(model.model_fields)
