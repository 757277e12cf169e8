"""What the commands share: arguments and options, and what is done before and around the work."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from ..errors import Fault, Refusal

Target = Annotated[str, Option(help="The column to predict.")]
TaskName = Annotated[str, Argument(help="The name of a task.")]
Database = Annotated[str, Option(envvar="ML_WORKFLOW_DATABASE", help="The decisions database.")]
DATABASE = "sqlite:///var/decisions.db"
Query = Annotated[str | None, Option(help="The rows, where the table is a database.")]
Scheduler = Annotated[
    str, Option(help="A Dask scheduler, tcp://…, whose workers share this folder.")
]
Parameters = Annotated[
    list[str] | None,
    Option(
        "-p",
        "--parameter",
        help="name=value for every notebook that has it, or 03_poc.name=value for one.",
    ),
]


def usual_task() -> str:
    """The task that is meant when none is given: the default of 00_define."""
    from ..run.notebooks import parameters

    return str(parameters("00_define")["task"].default)


def task_argument(words: str) -> Any:
    """The argument for a task that may be left out."""
    shown = "the one that 00_define names"
    return Argument(default_factory=usual_task, show_default=shown, help=words)


def checked_parameters(texts: list[str] | None, file: Path | None = None) -> Any:
    """The notebooks' parameters, by stage, from texts `name=value` and a YAML file.

    Raises Refusal for a name or a value that no notebook takes.
    """
    from ..run.notebooks import from_file, pairs, parameters_by_stage

    return parameters_by_stage({**(from_file(file) if file else {}), **pairs(texts or [])})


def enter_project() -> Path:
    """Work in the project's folder, from which relative places are meant; the folder."""
    from ..store.files import root

    os.chdir(root())
    return root()


def check_writable() -> None:
    """Refuse a reports folder that cannot be written, before any work is done."""
    from tempfile import TemporaryFile

    from ..store.run import reports

    try:
        reports().mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=reports()) as file:
            file.write(b"\0" * 65536)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Refusal(
            f"The folder {reports()} cannot be written: {error.strerror}. "
            "Choose another by ML_WORKFLOW_REPORTS, or make room."
        ) from None


def repeat(work: Callable[[], object], every: str, pause: float) -> None:
    """Do a work again and again until Ctrl-C; the pause after each is in seconds, or as given.

    What is refused is said: a source or database that is gone today is there tomorrow.
    """
    while True:
        try:
            work()
        except (Refusal, Fault) as error:
            print(f"{error} Tried again in {every}.", file=sys.stderr, flush=True)
        time.sleep(pause)
