"""A run's folder: what one stage hands to the next, its verdicts, and its record run.json."""

import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..errors import Refusal
from .files import (
    modules,
    name_of,
    provenance,
    read_frame,
    read_json,
    root,
    track,
    write_frame,
    write_json,
)

STAGES = ("00_define", "01_research", "02_dataset", "03_poc", "04_scale", "05_abtest")


@dataclass(frozen=True)
class Verdict:
    """A stage's answer: go or stop, in one sentence, with the figures behind it.

    A figure is a number or [lower, estimate, upper]. `outcome` is the word of a stage that answers
    with more than go and stop, such as `keep running`.
    """

    go: bool
    answer: str
    figures: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""

    @property
    def word(self) -> str:
        """The verdict in a word or two: its outcome, or else go or stop."""
        return self.outcome or ("go" if self.go else "stop")

    @property
    def sentence(self) -> str:
        """The answer as it stands behind the verdict's word, which it then does not repeat."""
        rest = self.answer.removeprefix(f"{self.word.capitalize()}: ")
        return rest[:1].upper() + rest[1:]

    def _repr_html_(self) -> str:
        colour = "#1a7f4b" if self.go else "#b3261e"
        if self.outcome == "keep running":
            colour = "#8a5a00"
        return (
            f'<div class="verdict" style="border-left:6px solid {colour};padding:.6em 1em;'
            f'margin:.6em 0;font-size:1.15em"><b style="color:{colour}">{self.word.upper()}</b>'
            f"&ensp;{escape(self.sentence)}</div>"
        )


@dataclass(frozen=True)
class Run:
    """A folder of reports/: the files of a run, by name."""

    folder: Path

    @property
    def files(self) -> Path:
        """Where the files are that stages hand on."""
        return self.folder / "files"

    def input(self, name: str, made_by: str) -> Path:
        """The path of a file that an earlier stage made, which is tracked.

        One that is missing here is read from the newest run that holds it, which is said; raises
        Refusal, which names the stage, where none does.
        """
        for folder in self._folders():
            path = folder / "files" / name
            if path.exists():
                if folder is not self.folder:
                    print(f"{name} is read from the newest run, {folder.resolve().name}.")
                return track(path.resolve())
        raise Refusal(
            f"{name} is missing in {self.folder.name}, and no run of its task holds it: "
            f"run nbs/{made_by}.ipynb first."
        )

    def _folders(self) -> Iterator[Path]:
        """This run's folder, then those of others, the newest first.

        They are of its own task, where this folder has one: others tell of other rows.
        """
        yield self.folder
        task = self.files / "task.yaml"
        if not task.exists():
            yield reports() / "latest"
            return
        name = re.escape(yaml.safe_load(track(task).read_text(encoding="utf-8"))["name"])
        runs = re.compile(rf"{name}-\d{{8}}T\d{{6}}-[0-9a-f]{{6}}")
        for folder in sorted(reports().iterdir(), reverse=True):
            if runs.fullmatch(folder.name):
                yield folder

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
        """Write the stage's verdict with what this process has read and imported.

        The run's own files are noted by their name, others by their path from the root; the verdict
        is given back to be shown.
        """
        own = f"{name_of(self.files.resolve())}/"
        files = {name.removeprefix(own): sha for name, sha in provenance.items()}
        content = {"verdict": asdict(verdict), "files": files, "modules": modules()}
        self.write_json(f"{stage}.json", content)
        return verdict


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
