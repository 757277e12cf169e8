"""A run: one stage after the other, a gate after each, a record that is true at any moment."""

import errno
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import Fault, Refusal
from ..report.index import write_index
from ..report.page import write_page
from ..report.records import Inputs, Record, Stage, records
from ..report.run_page import write_run_page
from ..store.files import root
from ..store.run import STAGES, new_name, point_latest, reports
from .kernels import Kernels
from .notebooks import Parameters, code_hash
from .reuse import reuse

LIBRARIES = (
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
Tell = Callable[[str, Stage], None]
"""Hears of each stage when it begins ("start") and when it has ended ("end")."""


@dataclass(frozen=True)
class Plan:
    """What a run was asked to do."""

    task: str
    """As given on the command line: a name, or the path of a task file."""
    parameters: Parameters
    until: str = STAGES[-1]
    fresh_from: str | None = None
    """The stage from which on nothing is reused."""
    force: bool = False
    """Go on past a gate that says stop."""
    name: str = ""
    """What the task is called."""


def run_stages(plan: Plan, pool: Kernels, tell: Tell) -> Record:
    """Execute the stages of a checked plan in a new folder under reports/; the run's record.

    Raises Refusal when what was given is wrong and Fault when a stage breaks.
    """
    os.chdir(root())
    record = new_record(plan, new_name(plan.name))
    try:
        (record.folder / "files").mkdir(parents=True)
        record.save()
        pool.prepare()
        earlier = [] if plan.fresh_from == STAGES[0] else records()
        Walk(plan, record, pool, earlier, tell).walk()
        failure = record.failure
        if failure is None:
            point_latest(record.run)
        elif "No space left" in failure.error:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_run_page(record)
        write_index()
    except OSError as error:
        if not record.verdicts:
            shutil.rmtree(record.folder, ignore_errors=True)
        raise Refusal(
            f"The run could not be written to {reports()}: {error.strerror or error}. "
            "Make room or choose another folder by ML_WORKFLOW_REPORTS."
        ) from error
    if failure and failure.refused:
        raise Refusal(failure.error)
    if failure:
        where = "The executed notebook shows the cell."
        raise Fault(f"{failure.name} failed: {failure.error} {where}")
    return record


@dataclass
class Walk:
    """The way of a run through its stages."""

    plan: Plan
    record: Record
    pool: Kernels
    earlier: list[Record]
    """The runs whose stages may be reused; of several that fit the first."""
    tell: Tell = lambda event, stage: None

    def walk(self) -> None:
        """Go from stage to stage until the plan's end, the first stop or failure; save the record.

        Pages are rendered meanwhile, and are there at the end.
        """
        with ThreadPoolExecutor(1) as renderer:
            pages: list[Future[Path]] = []
            for stage in self.record.stages:
                if stage.name > self.plan.until or self.is_over:
                    break
                if stage.has_ended:
                    continue
                self.tell("start", stage)
                self.take(stage)
                page = self.record.folder / f"{stage.name}.html"
                if stage.verdict and not page.exists():
                    pages.append(
                        renderer.submit(write_page, page.parent, stage.name, stage.verdict)
                    )
                self.pass_gate(stage)
                self.record.save()
                self.tell("end", stage)
        for rendered in pages:
            rendered.result()

    @property
    def is_over(self) -> bool:
        """Whether a stage failed, or a gate said stop and the plan does not go on past it."""
        stopped = self.record.outcome == "stop" and not self.plan.force
        return stopped or self.record.failure is not None

    def take(self, stage: Stage) -> None:
        """Reuse what an earlier run made of the stage, or execute it."""
        fresh = self.plan.fresh_from is not None and stage.name >= self.plan.fresh_from
        if not fresh and any(reuse(stage, self.record, run) for run in self.earlier):
            return
        # papermill takes half a second to import, and a run of stages that are reused needs none
        from .execution import execute

        execute(stage, self.record, self.plan.task, self.pool)
        if stage.name < self.plan.until:
            self.pool.prepare()

    def pass_gate(self, stage: Stage) -> None:
        """Write into the record what the stage's end means for the run."""
        if stage.verdict is None:
            self.record.outcome = "failed"
        elif not stage.verdict.go:
            self.record.outcome = "stop"
            if not self.plan.force and stage.name < STAGES[-1]:
                stage.status = "stopped"
        elif stage.verdict.outcome and self.record.outcome != "stop":
            self.record.outcome = stage.verdict.outcome


def new_record(plan: Plan, run: str) -> Record:
    """The record of a run that has not begun."""
    parameters = {stage: values for stage, values in plan.parameters.items() if values}
    stages = []
    for name in STAGES:
        task = plan.task if name == STAGES[0] else ""
        inputs = Inputs(
            notebook=code_hash(name),
            parameters=parameters_hash(parameters.get(name, {}), task),
            files={},
            modules={},
        )
        stages.append(Stage(name=name, status="pending", seconds=None, started=None, inputs=inputs))
    return Record(
        run=run,
        task=plan.name,
        parameters=parameters,
        stages=stages,
        outcome="pending",
        versions=versions(),
    )


@cache
def versions() -> dict[str, str]:
    """The versions of Python, of this library and of those that the stages use."""
    own = {"python": platform.python_version(), "ml_workflow": __version__}
    return own | {library: version(library) for library in LIBRARIES}


def parameters_hash(values: dict[str, Any], task: str) -> str:
    """SHA-256 of a stage's parameters."""
    return hashlib.sha256(json.dumps([values, task], sort_keys=True).encode()).hexdigest()
