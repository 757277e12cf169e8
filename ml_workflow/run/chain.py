"""A run: the stages one after the other, a gate after each, and a record that is true at any moment."""

import hashlib
import json
import logging
import os
import platform
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import Refusal
from ..report import pages
from ..report.run_page import write_summary
from ..store.files import digest, root, write_json
from ..store.run import STAGES, Verdict, new_name, point_latest, reports
from .kernels import Kernels
from .notebooks import code_hash, path_of

LIBRARIES = (
    "ml-workflow",
    "pandas",
    "numpy",
    "scikit-learn",
    "skrub",
    "lightgbm",
    "xgboost-cpu",
    "catboost",
    "optuna",
    "pandera",
    "duckdb",
    "scipy",
    "mlflow",
    "papermill",
)
logging.getLogger("papermill").addHandler(
    logging.NullHandler()
)  # what it says of a kernel's death stands in the record
Tell = Callable[[str, dict[str, Any]], None]
"""Hears of each stage when its status changes."""


class Fault(Exception):
    """A stage failed for a reason that is no fault of what was given."""


@dataclass
class Plan:
    """What a run was asked to do."""

    task: str
    parameters: dict[str, dict[str, Any]]
    until: str = STAGES[-1]
    fresh_from: str | None = None
    force: bool = False
    name: str = ""
    record: dict[str, Any] = field(default_factory=dict)


def run(plan: Plan, pool: Kernels, tell: Tell) -> dict[str, Any]:
    """Execute the stages of a checked plan in a new folder under reports/; the record, also written as run.json.

    Raises Refusal when what was given is wrong and Fault when a stage breaks; the record says so in both cases.
    """
    os.chdir(root())
    folder = reports() / new_name(plan.name)
    plan.record = new_record(folder.name, plan)
    try:
        (folder / "files").mkdir(parents=True)
        save(folder, plan.record)
        with ThreadPoolExecutor(1) as painter:
            pool.prepare()
            pictures: list[Future[Any]] = []
            try:
                walk(
                    folder,
                    plan,
                    pool,
                    painter,
                    pictures,
                    [] if plan.fresh_from == STAGES[0] else pages.records(),
                    tell,
                )
            finally:
                for picture in pictures:
                    picture.result()
        point_latest(folder.name)
        write_summary(folder, plan.record)
        pages.write_index()
    except (Refusal, Fault):
        write_summary(folder, plan.record)
        pages.write_index()
        raise
    except OSError as error:
        if not any(s["status"] in ("done", "reused") for s in plan.record["stages"]):
            shutil.rmtree(folder, ignore_errors=True)
        raise Refusal(
            f"The run could not be written to {reports()}: {error.strerror or error}. Make room or choose another folder by ML_WORKFLOW_REPORTS."
        ) from error
    return plan.record


def walk(
    folder: Path,
    plan: Plan,
    pool: Kernels,
    painter: ThreadPoolExecutor,
    pictures: list[Future[Any]],
    earlier: list[dict[str, Any]],
    tell: Tell,
) -> None:
    """Go from stage to stage until the plan's end, the first stop or a failure; keep the record after each."""
    record = plan.record
    for stage in record["stages"]:
        name = stage["name"]
        if name > plan.until:
            break
        if stage["status"] in ("done", "reused"):
            continue
        tell("start", stage)
        may_reuse = plan.fresh_from is None or name < plan.fresh_from
        if may_reuse and reuse(folder, stage, record, earlier):
            if not (folder / f"{name}.html").exists():
                pictures.append(painter.submit(pages.write_page, folder, name, shown(stage)))
        else:
            execute(folder, stage, record, plan, pool, more=name < plan.until)
            if stage["status"] == "done":
                pictures.append(painter.submit(pages.write_page, folder, name, shown(stage)))
        go = bool(stage.get("verdict", {}).get("go"))
        if stage["status"] == "failed":
            record["outcome"] = "failed"
        elif not go:
            record["outcome"] = "stop"
            stage["status"] = "stopped" if not plan.force and name < STAGES[-1] else stage["status"]
        elif stage["verdict"].get("outcome"):
            record["outcome"] = (
                stage["verdict"]["outcome"] if record["outcome"] != "stop" else "stop"
            )
        save(folder, record)
        tell("end", stage)
        if stage["status"] == "failed":
            raise_for(stage)
        if not go and not plan.force:
            break


def execute(
    folder: Path,
    stage: dict[str, Any],
    record: dict[str, Any],
    plan: Plan,
    pool: Kernels,
    more: bool,
) -> None:
    """Run one notebook by papermill in a kernel of its own, and fill in the stage's entry."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from . import engine

    name, before, began = stage["name"], set(os.listdir(folder / "files")), time.perf_counter()
    stage["started"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    given = {**record["parameters"].get(name, {}), "run": folder.name} | (
        {"task": plan.task} if name == STAGES[0] else {}
    )
    output, temporary = folder / f"{name}.ipynb", folder / f".{name}.ipynb"
    try:
        papermill.execute_notebook(
            str(path_of(name)),
            str(temporary),
            given,
            kernel_manager_class=pool.manager_class,
            engine_name=engine.NAME,
            progress_bar=False,
            log_output=False,
            autosave_cell_every=0,
        )
        stage["status"] = "done"
    except PapermillExecutionError as error:
        stage |= {
            "status": "failed",
            "error": first_sentence(error),
            "refused": error.ename == "Refusal",
        }
    except (RuntimeError, TimeoutError) as error:
        stage |= {"status": "failed", "error": death(temporary, error), "refused": False}
    finally:
        if temporary.exists():
            temporary.replace(output)
    if more:
        pool.prepare()
    stage["seconds"] = round(time.perf_counter() - began, 2)
    if stage["status"] == "done":
        note = json.loads((folder / "files" / f"{name}.json").read_text(encoding="utf-8"))
        stage["verdict"] = note["verdict"]
        stage["inputs"] |= {"files": note["files"], "modules": note["modules"]}
        stage["made"] = sorted(set(os.listdir(folder / "files")) - before)


def death(notebook: Path, error: Exception) -> str:
    """A sentence on a kernel that died or hung: in which cell, and the last lines it showed."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"] if notebook.exists() else []
    for number, cell in enumerate(cells, start=1):
        if cell["metadata"].get("papermill", {}).get("status") in ("running", "failed"):
            source = next(
                (
                    line
                    for line in "".join(cell["source"]).splitlines()
                    if line.strip() and not line.startswith("#|")
                ),
                "",
            )
            lines = (
                "".join(t for output in cell["outputs"] for t in output.get("text", []))
                .strip()
                .splitlines()[-3:]
            )
            return (
                f"the kernel ended in cell {number} ({source.strip()!r}): {error}{'' if str(error).endswith('.') else '.'}"
                + (f" Its last lines: {' / '.join(lines)}" if lines else "")
            )
    return f"the kernel ended before its first cell: {error}."


def new_record(name: str, plan: Plan) -> dict[str, Any]:
    """The record of a run that has not begun."""
    given = {stage: values for stage, values in plan.parameters.items() if values}
    stages = [
        {
            "name": s,
            "status": "pending",
            "seconds": None,
            "started": None,
            "inputs": {
                "notebook": code_hash(s),
                "parameters": hashed(given.get(s, {}), plan.task if s == STAGES[0] else ""),
                "files": {},
                "modules": {},
            },
        }
        for s in STAGES
    ]
    libraries = installed()
    return {
        "run": name,
        "task": plan.name,
        "parameters": given,
        "stages": stages,
        "outcome": "pending",
        "versions": {
            "python": platform.python_version(),
            **{k.replace("-", "_") if k == "ml-workflow" else k: v for k, v in libraries.items()},
        },
    }


@cache
def installed() -> dict[str, str]:
    """The versions of the libraries that the stages use."""
    return {library: version(library) for library in LIBRARIES}


def hashed(values: dict[str, Any], task: str) -> str:
    """SHA-256 of a stage's parameters."""
    return hashlib.sha256(json.dumps([values, task], sort_keys=True).encode()).hexdigest()


def reuse(
    folder: Path, stage: dict[str, Any], record: dict[str, Any], earlier: list[dict[str, Any]]
) -> bool:
    """Hard-link what an earlier run made of this stage if everything it read is unchanged; whether it was so."""
    for old in earlier:
        found = next((s for s in old["stages"] if s["name"] == stage["name"]), None)
        if found and old["versions"] == record["versions"] and unchanged(folder, stage, found):
            source = reports() / old["run"]
            with suppress(FileNotFoundError, FileExistsError):
                for name in [f"{stage['name']}.ipynb", *(f"files/{n}" for n in found["made"])]:
                    link(source / name, folder / name)
                with suppress(
                    FileNotFoundError
                ):  # a run that was killed has not rendered its last page
                    link(source / f"{stage['name']}.html", folder / f"{stage['name']}.html")
                stage |= {k: found[k] for k in ("verdict", "made", "started", "inputs")}
                stage |= {"status": "reused", "seconds": 0.0, "from": found.get("from", old["run"])}
                return True
    return False


def unchanged(folder: Path, stage: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether code, parameters and every file and module that was read are what they were."""
    if found["status"] not in ("done", "reused", "stopped") or any(
        found["inputs"][k] != stage["inputs"][k] for k in ("notebook", "parameters")
    ):
        return False
    for name, sha in {**found["inputs"]["files"], **found["inputs"]["modules"]}.items():
        own, outside = folder / "files" / name, root() / name
        path = own if own.exists() else outside
        if not path.exists() or digest(path) != sha:
            return False
    return True


def link(source: Path, target: Path) -> None:
    """Hard-link a file, or a folder's files; finished files are never written to again."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link)
    else:
        os.link(source, target)


def save(folder: Path, record: dict[str, Any]) -> None:
    """Write the record, whole or not at all."""
    write_json(folder / "run.json", record)


def shown(stage: dict[str, Any]) -> str:
    """The stage's verdict as HTML."""
    return Verdict(**stage["verdict"])._repr_html_()


def first_sentence(error: Any) -> str:
    """What a failed cell said, in one line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue)).strip()
    return text.splitlines()[0] if text else error.ename


def render_missing(record: dict[str, Any]) -> None:
    """Write the pages that a kill kept from being written after their stage had ended."""
    folder = reports() / record["run"]
    for stage in record["stages"]:
        if (
            stage["status"] in ("done", "reused", "stopped")
            and not (folder / f"{stage['name']}.html").exists()
        ):
            pages.write_page(folder, stage["name"], shown(stage))
    if not (folder / "index.html").exists():
        write_summary(folder, record)


def raise_for(stage: dict[str, Any]) -> None:
    """Raise what a failed stage means: a Refusal for wrong input or no room, else a Fault."""
    if stage["refused"]:
        raise Refusal(stage["error"])
    if "No space left" in stage["error"]:
        raise OSError(28, "No space left on device")
    raise Fault(f"{stage['name']} failed: {stage['error']} The executed notebook shows the cell.")
