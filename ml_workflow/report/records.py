"""The record of a run: what its run.json says, true at any moment."""

import math
import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from ..store.files import write_json
from ..store.run import Verdict, reports


def is_finite(figure: Any) -> bool:
    """Whether a figure of a verdict is a number, and a finite one."""
    return isinstance(figure, (int, float)) and math.isfinite(figure)


class Inputs(BaseModel):
    """What a stage depends on, each with its SHA-256."""

    notebook: str
    """Of the notebook's code: prose may change."""
    parameters: str
    files: dict[str, str] = {}
    """By their name in the run, or else by their path from the project's folder."""
    modules: dict[str, str] = {}


class Stage(BaseModel):
    """What became of one stage."""

    name: str
    status: Literal["pending", "done", "reused", "stopped", "failed"]
    """stopped: it ended, and its gate ended the run."""
    seconds: float | None = None
    started: str | None = None
    """In UTC, by ISO 8601."""
    inputs: Inputs
    verdict: Verdict | None = None
    made: list[str] = []
    """The names of the files that it left for later stages."""
    reused_from: str = Field("", alias="from")
    """The run that executed it, where another one did."""
    error: str = ""
    """Why it failed, in a sentence."""
    refused: bool = False
    """Whether it failed because of what was given."""

    @property
    def has_ended(self) -> bool:
        """Whether it ended without a fault, in this run or an earlier one."""
        return self.status in ("done", "reused", "stopped")

    def fail(self, error: str, refused: bool = False) -> None:
        """Write down that it failed, and why."""
        self.status, self.error, self.refused = "failed", error, refused

    @property
    def go(self) -> bool:
        """Whether its gate lets the run go on."""
        return bool(self.verdict and self.verdict.go)

    @property
    def answer(self) -> str:
        """Its verdict in a sentence, or why it failed."""
        return self.error or (self.verdict.answer if self.verdict else "")


class SweepPart(BaseModel):
    """Which variant of which sweep a run is."""

    name: str
    variant: dict[str, Any]


class Record(BaseModel):
    """A run, as its run.json keeps it."""

    run: str
    task: str
    parameters: dict[str, dict[str, Any]]
    """What was given, by stage."""
    stages: list[Stage]
    outcome: str
    """pending, failed, stop, or what the A/B test says: ship, keep running."""
    versions: dict[str, str]
    """Of Python and the libraries."""
    sweep: SweepPart | None = None

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        return reports() / self.run

    @property
    def order(self) -> list[str]:
        """What sorts runs by the time when they began: the end of its name."""
        return self.run.rsplit("-", 2)[1:]

    @property
    def started(self) -> datetime:
        """When it began, in UTC."""
        return datetime.strptime(self.order[0], "%Y%m%dT%H%M%S")

    @property
    def seconds(self) -> float:
        """What its stages took."""
        return sum(stage.seconds or 0 for stage in self.stages)

    @property
    def failure(self) -> Stage | None:
        """The stage that failed, where one did."""
        return next((stage for stage in self.stages if stage.status == "failed"), None)

    @property
    def begun(self) -> list[Stage]:
        """The stages that were begun."""
        return [stage for stage in self.stages if stage.status != "pending"]

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdicts that were given, by stage."""
        return {stage.name: stage.verdict for stage in self.stages if stage.verdict}

    @property
    def last_figures(self) -> dict[str, Any]:
        """The figures of the last verdict; none where none was given."""
        verdicts = list(self.verdicts.values())
        return verdicts[-1].figures if verdicts else {}

    @property
    def net_figures(self) -> dict[str, Any]:
        """The figures of the last verdict that states a net value; none where none does."""
        figures = [verdict.figures for verdict in self.verdicts.values()]
        return next((last for last in figures[::-1] if "net_value_per_month" in last), {})

    @property
    def reached(self) -> str:
        """Its outcome, or how far it was asked to go."""
        last = f"until {self.begun[-1].name}" if self.begun else "not begun"
        return last if self.outcome == "pending" else self.outcome

    @property
    def currency(self) -> str:
        """The currency of its task, as stage 00 kept it; without reading all of the file."""
        path = self.folder / "files" / "task.yaml"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        line = re.search(r"^ +currency: *(.+)$", text, re.M)
        return line[1].strip("'\" ") if line else ""

    @property
    def named_parameters(self) -> dict[str, Any]:
        """What was given, each as `stage.name`."""
        by_stage = self.parameters.items()
        return {f"{stage}.{name}": v for stage, values in by_stage for name, v in values.items()}

    def save(self) -> None:
        """Write run.json, whole or not at all; what does not apply is left out."""
        content = self.model_dump(by_alias=True, exclude_unset=True)
        write_json(self.folder / "run.json", content)


def read_record(path: Path) -> Record:
    """The record in a run.json."""
    return Record.model_validate_json(path.read_bytes())


def records() -> list[Record]:
    """The records of all runs, newest first; what cannot be read is left out."""
    found = []
    for path in reports().glob("*/run.json"):
        with suppress(OSError, ValidationError):
            if not path.parent.is_symlink():
                found.append(read_record(path))
    return sorted(found, key=lambda record: record.order, reverse=True)


def usual_seconds(task: str) -> dict[str, float]:
    """How long each stage of a task took when it last ran; stages that never ran are left out."""
    stages = [stage for record in records() if record.task == task for stage in record.stages]
    ran = [stage for stage in stages if stage.status in ("done", "stopped")]
    return {stage.name: stage.seconds for stage in reversed(ran) if stage.seconds}
