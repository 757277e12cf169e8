"""A run's folder: what one stage hands to the next, its verdicts, and its record run.json."""

import os
import re
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..errors import Refusal
from . import files
from .files import read_frame, read_json, root, write_frame, write_json

STAGES = ("00_define", "01_research", "02_dataset", "03_poc", "04_scale", "05_abtest")


@dataclass(frozen=True)
class Verdict:
    """A stage's answer: go or stop, in one sentence, with the figures ([lower, estimate, upper] or a number) behind it."""

    go: bool
    answer: str
    figures: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""

    @property
    def said(self) -> str:
        """The answer as it stands behind its outcome's word, which it then does not repeat."""
        rest = self.answer.removeprefix(
            f"{(self.outcome or ('go' if self.go else 'stop')).capitalize()}: "
        )
        return rest[:1].upper() + rest[1:]

    def _repr_html_(self) -> str:
        word, colour = ("GO", "#1a7f4b") if self.go else ("STOP", "#b3261e")
        if self.outcome:
            word, colour = (
                self.outcome.upper(),
                colour if self.outcome != "keep running" else "#8a5a00",
            )
        return (
            f'<div class="verdict" style="border-left:6px solid {colour};padding:.6em 1em;margin:.6em 0;font-size:1.15em">'
            f'<b style="color:{colour}">{word}</b>&ensp;{escape(self.said)}</div>'
        )


class Run:
    """One folder under reports/: its files, by name. A missing input is read from the newest run, which is said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"

    def input(self, name: str, made_by: str) -> Path:
        """The path of a file that an earlier stage made; that it was read is noted."""
        own = self.files / name
        if own.exists():
            return files.track(own.resolve())
        for folder in self._others():
            if (path := folder / "files" / name).exists():
                print(f"{name} is read from the newest run, {folder.resolve().name}.")
                return files.track(path.resolve())
        raise Refusal(
            f"{name} is missing in {self.folder.name}, and no run of its task holds it: run nbs/{made_by}.ipynb first."
        )

    def _others(self) -> list[Path]:
        """Runs to read from, the newest first; of its own task, where this folder has one: another's files would tell of other rows."""
        own = self.files / "task.yaml"
        if not own.exists():
            return [reports() / "latest"]
        task = yaml.safe_load(files.track(own).read_text(encoding="utf-8"))["name"]
        named = re.compile(re.escape(task) + r"-\d{8}T\d{6}-[0-9a-f]{6}")
        return sorted(
            (path for path in reports().iterdir() if named.fullmatch(path.name)),
            key=lambda path: path.name,
            reverse=True,
        )

    def output(self, name: str) -> Path:
        """The path of a file that this stage makes."""
        return self.files / name

    def read_frame(self, name: str, made_by: str) -> pd.DataFrame:
        """A table that an earlier stage made."""
        return read_frame(self.input(name, made_by))

    def write_frame(self, name: str, frame: pd.DataFrame) -> Path:
        """Hand a table on."""
        return write_frame(self.output(name), frame)

    def read_json(self, name: str, made_by: str) -> Any:
        """What an earlier stage handed on as JSON."""
        return read_json(self.input(name, made_by))

    def write_json(self, name: str, content: Any) -> Path:
        """Hand a JSON document on."""
        return write_json(self.output(name), content)

    def finish(self, stage: str, verdict: Verdict) -> Verdict:
        """Keep the stage's verdict with what this process has read and imported; give the verdict to show."""
        note = {"verdict": asdict(verdict), "files": self._inputs(), "modules": files.modules()}
        write_json(self.output(f"{stage}.json"), note)
        return verdict

    def _inputs(self) -> dict[str, str]:
        """What was read: the run's own files by their name, others by their path from the root."""
        own = f"{files.name_of(self.files.resolve())}/"
        return {name.removeprefix(own): sha for name, sha in files.provenance.items()}


def reports() -> Path:
    """Where runs are kept: reports/, or the folder that ML_WORKFLOW_REPORTS names."""
    return Path(os.environ.get("ML_WORKFLOW_REPORTS") or root() / "reports").absolute()


def open_run(name: str) -> Run:
    """The run of that name; reports/lab/ is the one of notebooks opened by hand."""
    return Run(reports() / name)


def new_name(task: str) -> str:
    """<task>-<UTC time>-<6 hex>."""
    return f"{task}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def point_latest(name: str) -> None:
    """Let reports/latest name this run."""
    link = reports() / f".latest.{secrets.token_hex(4)}"
    link.symlink_to(name)
    link.replace(reports() / "latest")
