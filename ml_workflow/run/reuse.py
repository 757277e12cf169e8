"""Taking over what an earlier run made of a stage, where all that it depends on is unchanged."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from ..report.records import Record, Stage
from ..store.files import digest, root


def reuse(stage: Stage, record: Record, earlier: Record) -> bool:
    """Hard-link what an earlier run made of this stage if it is unchanged; whether it was so."""
    theirs = next((one for one in earlier.stages if one.name == stage.name), None)
    if theirs is None or earlier.versions != record.versions:
        return False
    if not is_unchanged(stage, theirs, record.folder):
        return False
    try:
        for name in [f"{stage.name}.ipynb", *(f"files/{made}" for made in theirs.made)]:
            link(earlier.folder / name, record.folder / name)
    except (FileNotFoundError, FileExistsError):
        return False
    with suppress(FileNotFoundError):  # a run that was killed has not rendered its last page
        link(earlier.folder / f"{stage.name}.html", record.folder / f"{stage.name}.html")
    stage.verdict, stage.made, stage.started = theirs.verdict, theirs.made, theirs.started
    stage.inputs, stage.status, stage.seconds = theirs.inputs, "reused", 0.0
    stage.reused_from = theirs.reused_from or earlier.run
    return True


def is_unchanged(stage: Stage, theirs: Stage, folder: Path) -> bool:
    """Whether code, parameters, and every file and module that was read are what they were.

    Files are looked for in the run's own folder, then in the project.
    """
    ours, then = stage.inputs, theirs.inputs
    if not theirs.has_ended or (ours.notebook, ours.parameters) != (then.notebook, then.parameters):
        return False
    for name, sha in (then.files | then.modules).items():
        own = folder / "files" / name
        path = own if own.exists() else root() / name
        if not path.exists() or digest(path) != sha:
            return False
    return True


def link(source: Path, target: Path) -> None:
    """Hard-link a file, or a folder's files; finished files are never written to again."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link)
    else:
        os.link(source, target)
