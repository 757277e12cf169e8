"""What the commands share: options, and refusals before any work is done."""

import os
from contextlib import suppress
from typing import Annotated

import typer

Database = Annotated[
    str, typer.Option(envvar="ML_WORKFLOW_DATABASE", help="The decisions database.")
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--parameter",
        help="name=value for every notebook that has it, or 03_poc.name=value for one.",
    ),
]


def usual_task() -> str:
    """The task that is meant when none is given: the default of 00_define."""
    from ..run.notebooks import parameters

    return str(parameters("00_define")["task"].default)


def refusal(sentence: str) -> Exception:
    """A refusal with this sentence."""
    from ..errors import Refusal

    return Refusal(sentence)


def check_writable() -> None:
    """Refuse a reports folder that cannot be written, before any work is done."""
    from ..store.run import reports

    probe = reports() / f".probe-{os.getpid()}"
    try:
        reports().mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            file.write(b"\0" * 65536)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise refusal(
            f"The folder {reports()} cannot be written: {error.strerror}. Choose another by ML_WORKFLOW_REPORTS, or make room."
        ) from None
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
