"""The variants of a run that a sweep's file asks for, each with all its parameters checked."""

import itertools
import math
import random
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from ..errors import Refusal, nearest
from ..store.run import STAGES
from ..task.file import as_model, read_yaml
from .notebooks import parameters_by_stage, stage_named

Settings = dict[str, Any]
"""Values by the names of parameters, as a user gives them."""
ListOfSettings = list[Settings]
Values = Annotated[list[Any], Field(min_length=1)]


class Variant(NamedTuple):
    """One run of a sweep."""

    task: str
    settings: Settings
    """What sets it apart, named as in the sweep's file."""
    parameters: dict[str, Settings]
    """All its parameters, checked, by stage."""


class Sweep(NamedTuple):
    """What a sweep's file asks for."""

    name: str
    variants: list[Variant]
    until: str


class Part(BaseModel):
    """A part of a sweep's file; keys that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


class Range(Part):
    """The numbers between two bounds; whole ones where both bounds are."""

    low: int | float
    high: int | float
    log: bool = False
    """Whether orders of magnitude are drawn evenly."""

    @model_validator(mode="after")
    def _bounds(self) -> "Range":
        if self.low > self.high or (self.log and self.low <= 0):
            raise ValueError("low must be at most high, and above 0 with log: true")
        return self

    def draw(self, generator: random.Random) -> int | float:
        """One number between the bounds."""
        are_whole = isinstance(self.low, int) and isinstance(self.high, int)
        if are_whole and not self.log:
            return generator.randint(int(self.low), int(self.high))
        scale, back = (math.log, math.exp) if self.log else (float, float)
        number = back(generator.uniform(scale(self.low), scale(self.high)))
        return round(number) if are_whole else float(f"{number:.6g}")


def _form(options: Any) -> str:
    return "values" if isinstance(options, list) else "range"


Options = Annotated[
    Annotated[Values, Tag("values")] | Annotated[Range, Tag("range")], Discriminator(_form)
]


class Draws(Part):
    """Random settings: `n` of them, each parameter from a list of values or a range."""

    n: int = Field(ge=1)
    seed: int = 0
    parameters: dict[str, Options] = Field(min_length=1)

    def settings(self) -> ListOfSettings:
        """The settings; the same at every call."""
        generator = random.Random(self.seed)

        def draw(options: list[Any] | Range) -> Any:
            if isinstance(options, Range):
                return options.draw(generator)
            return generator.choice(options)

        return [
            {name: draw(options) for name, options in self.parameters.items()}
            for _ in range(self.n)
        ]


class SweepFile(Part):
    """The file of a sweep: grid, list and random add up."""

    task: str = "credit"
    tasks: list[str] = []
    base: Settings = {}
    """What all variants are given."""
    grid: dict[str, Values] = {}
    """Every combination of these values."""
    random: Draws | None = None
    until: str = STAGES[-1]
    list: ListOfSettings = []

    @property
    def settings(self) -> ListOfSettings:
        """What each variant is given beside `base`; once nothing where nothing is asked."""
        combinations = itertools.product(*self.grid.values()) if self.grid else []
        grid = [dict(zip(self.grid, values, strict=True)) for values in combinations]
        return [*grid, *self.list, *(self.random.settings() if self.random else [])] or [{}]


def read_sweep(path: Path) -> Sweep:
    """The sweep that a YAML file describes, every parameter of every variant checked.

    Raises Refusal for what is wrong with the file, with a name or with a value's type.
    """
    if not path.is_file():
        others = [other.name for other in path.parent.glob("*.yaml")]
        raise Refusal(f"There is no sweep {path}.{nearest(path.name, others)}")
    content = read_yaml(path)
    if not isinstance(content, dict):
        keys = ", ".join(SweepFile.model_fields)
        raise Refusal(f"{path} must be a mapping with some of {keys}.")
    stated = {key: value for key, value in content.items() if value is not None}
    file = as_model(SweepFile, stated, path.name)
    variants: list[Variant] = []
    for task, settings in itertools.product(file.tasks or [file.task], file.settings):
        named = {"task": task} if len(file.tasks) > 1 else {}
        variant = Variant(task, named | settings, parameters_by_stage(file.base | settings))
        if not any((variant.task, variant.parameters) == (o.task, o.parameters) for o in variants):
            variants.append(variant)
    return Sweep(path.stem, variants, stage_named(file.until))
