"""One notebook executed by papermill, and what became of it."""

import json
import logging
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook

from ..report.records import Record, Stage
from ..store.run import STAGES, Verdict
from .kernels import Kernels
from .notebooks import path_of

SECONDS = 1.0
"""Between two writes of the notebook while it runs; it is written once more when it ends."""
# What papermill says of a kernel's death stands in the record.
logging.getLogger("papermill").addHandler(logging.NullHandler())


class SeldomEngine(NBClientEngine):
    """Papermill's own engine, which does not write the notebook before and after each cell."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        """Let the manager of the notebook save at most once in SECONDS."""
        save, last = nb_man.save, time.monotonic()

        def seldom(**words: Any) -> None:
            nonlocal last
            if time.monotonic() - last >= SECONDS:
                save(**words)
                last = time.monotonic()

        nb_man.save = seldom
        try:
            return super().execute_managed_notebook(nb_man, kernel_name, **options)
        finally:
            del nb_man.save


papermill_engines.register("seldom", SeldomEngine)


def execute(stage: Stage, record: Record, task: str, pool: Kernels) -> None:
    """Run a stage's notebook in a kernel of its own, and write into the stage what became of it."""
    folder, files = record.folder, record.folder / "files"
    values = record.parameters.get(stage.name, {}) | {"run": record.run}
    if stage.name == STAGES[0]:
        values["task"] = task
    temporary, before = folder / f".{stage.name}.ipynb", set(os.listdir(files))
    stage.started, began = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", time.perf_counter()
    try:
        execute_notebook(
            str(path_of(stage.name)),
            str(temporary),
            values,
            kernel_manager_class=pool.manager_class,
            engine_name="seldom",
            progress_bar=False,
            log_output=False,
            autosave_cell_every=0,
        )
    except PapermillExecutionError as error:
        stage.fail(first_line(error), refused=error.ename == "Refusal")
    except (RuntimeError, TimeoutError) as error:
        stage.fail(death(temporary, error))
    else:
        note = json.loads((files / f"{stage.name}.json").read_text(encoding="utf-8"))
        stage.status, stage.verdict = "done", Verdict(**note["verdict"])
        stage.inputs.files, stage.inputs.modules = note["files"], note["modules"]
        stage.made = sorted(set(os.listdir(files)) - before)
    finally:
        if temporary.exists():
            temporary.replace(folder / f"{stage.name}.ipynb")
        stage.seconds = round(time.perf_counter() - began, 2)


def first_line(error: PapermillExecutionError) -> str:
    """What a failed cell said, in one line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue)).strip()
    return text.splitlines()[0] if text else str(error.ename)


def death(notebook: Path, error: Exception) -> str:
    """A sentence on a kernel that died or hung, and in which cell."""
    cells = nbformat.read(notebook, as_version=4).cells if notebook.exists() else []
    begun = [c for c in cells if c.metadata.get("papermill", {}).get("start_time")]
    place = f"in cell {len(begun)}" if begun else "before its first cell"
    return f"the kernel ended {place}: {str(error).removesuffix('.')}."
