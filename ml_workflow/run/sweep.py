"""A sweep: variants of a run in parallel processes, and what they share runs once."""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ..draft.check import check_task
from ..model.registry import Entry, log
from ..report.index import parts, write_index
from ..report.page import write_page
from ..report.records import Record, SweepPart, is_finite, records
from ..report.run_page import write_run_page
from ..store.files import root
from ..store.run import STAGES, new_name, point_latest, reports
from .reuse import is_unchanged, link, reuse
from .stages import Fault, Plan, Walk, new_record
from .variants import Sweep, Variant
from .workers import Submit, own_kernels, workers

ATTEMPTS = 3
"""How often a part is started whose worker process dies: that may be another's fault."""


Tell = Callable[[int, Record | None], None]
"""Hears how many variants have ended, and of the one that has just done so."""


class Job(NamedTuple):
    """A part of a variant, for a worker process: its stages up to one."""

    plan: Plan
    record: Record
    donor: Record | None
    """The record of the variant whose first stages it shares."""
    root: Path
    reports: Path
    began: float
    """When the sweep began: earlier runs are read once for it."""


def run_sweep(sweep: Sweep, jobs: int, scheduler: str, tell: Tell) -> list[Record]:
    """Run the variants, each to its end whatever becomes of the others; their records, in order.

    A variant that an earlier call finished, and whose inputs are unchanged, is kept as it is.
    """
    os.chdir(root())
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    with ThreadPoolExecutor(1) as logger, workers(jobs, scheduler) as submit:
        course = Course(sweep, submit)
        ended = list(course.finished.values())
        logged = [logger.submit(log, [entry(record) for record in ended])]
        tell(len(ended), None)

        def on_end(record: Record) -> None:
            write_run_page(record)
            logged.append(logger.submit(log, [entry(record)]))
            ended.append(record)
            tell(len(ended), record)

        try:
            in_order = asyncio.run(course.run(on_end))
        finally:
            sound = [record for record in ended if record.outcome != "failed"]
            if sound:
                point_latest(max(sound, key=lambda record: record.order).run)
            write_index()
        check_logged(logged)
    return in_order


def check_logged(logged: list["Future[None]"]) -> None:
    """Wait until MLflow has been told of every variant; a Fault where it could not be."""
    try:
        for future in logged:
            future.result()
    except Exception as error:
        raise Fault(
            f"All variants have ended, but MLflow could not be told of each: {error}. "
            "The same command tells it what is missing."
        ) from error


def new_variants(sweep: Sweep) -> list[tuple[Plan, Record]]:
    """The plan of each variant, and its record, which has no name before it begins.

    Raises Refusal where one of the tasks is wrong.
    """
    tasks = dict.fromkeys(variant.task for variant in sweep.variants)
    names = {task: check_task(task)[0].name for task in tasks}
    new = []
    for task, settings, parameters in sweep.variants:
        plan = Plan(task, parameters, sweep.until, name=names[task])
        record = new_record(plan, "")
        record.sweep = SweepPart(name=sweep.name, variant=settings)
        new.append((plan, record))
    return new


def is_whole(old: Record, fresh: Record, until: str) -> bool:
    """Whether a run is of this variant, went as far as sweep, and all that it read is unchanged."""
    if (old.sweep, old.versions) != (fresh.sweep, fresh.versions):
        return False
    for theirs, ours in zip(old.stages, fresh.stages, strict=True):
        if theirs.name > until:
            break
        if not is_unchanged(ours, theirs, old.folder):
            return False
        if theirs.status == "stopped":
            break
    return True


def write_missing_pages(record: Record) -> None:
    """Write the pages that a kill kept from being written after their stage had ended."""
    for stage, verdict in record.verdicts.items():
        if not (record.folder / f"{stage}.html").exists():
            write_page(record.folder, stage, verdict)
    if not (record.folder / "index.html").exists():
        write_run_page(record)


def owners(variants: list[Variant], until: str) -> list[tuple[int, int]]:
    """For each variant the earliest one that shares the most stages with it, and how many.

    Stages are counted from the first; a variant that shares none has itself and 0.
    """
    first: dict[str, int] = {}
    pairs = []
    for number, variant in enumerate(variants):
        owner = number, 0
        for count, stage in enumerate((s for s in STAGES if s <= until), start=1):
            prefix = repr((variant.task, [variant.parameters[s] for s in STAGES if s <= stage]))
            if first.setdefault(prefix, number) != number:
                owner = first[prefix], count
        pairs.append(owner)
    return pairs


class Course:
    """The way of the variants; each begins when what it shares with an earlier one is done."""

    def __init__(self, sweep: Sweep, submit: Submit) -> None:
        self.submit, self.began, self.variants = submit, time.time(), new_variants(sweep)
        self.owners = owners(sweep.variants, sweep.until)
        self.parts: dict[tuple[int, int], asyncio.Task[Record]] = {}
        self.finished: dict[int, Record] = {}
        """The variants, by number, that an earlier call finished and whose inputs are unchanged."""
        earlier = [record for record in records() if record.outcome != "failed"]
        for number, (_, fresh) in enumerate(self.variants):
            if old := next((old for old in earlier if is_whole(old, fresh, sweep.until)), None):
                self.finished[number] = old
                write_missing_pages(old)

    async def run(self, on_end: Callable[[Record], None]) -> list[Record]:
        """Run all variants, and tell of each as it ends; their records, in order."""

        async def follow(number: int) -> Record:
            if number in self.finished:
                return self.finished[number]
            record = await self.after(number, STAGES.index(self.variants[number][0].until) + 1)
            on_end(record)
            return record

        return await asyncio.gather(*map(follow, range(len(self.variants))))

    def after(self, number: int, count: int) -> "asyncio.Task[Record]":
        """Gives a variant's record when it has done so many stages, or will not."""
        if (number, count) not in self.parts:
            self.parts[number, count] = asyncio.create_task(self.advanced(number, count))
        return self.parts[number, count]

    async def advanced(self, number: int, count: int) -> Record:
        """Take a variant through its stages, with a halt before those that others do not share."""
        if number in self.finished:
            return self.finished[number]
        plan, record = self.variants[number]
        (owner, shared), donor = self.owners[number], None
        if halts := [n for other, n in self.owners if other == number and 0 < n < count]:
            record = await self.after(number, max(halts))
            if record.outcome != "pending":
                return record
        else:
            donor = await self.after(owner, shared) if shared else None
            record.run = new_name(plan.name)
        part = replace(plan, until=STAGES[count - 1])
        return await self.result(Job(part, record, donor, root(), reports(), self.began))

    async def result(self, job: Job) -> Record:
        """The record that a worker gives back; where it gives none, its next stage has failed."""
        why = ""
        for _ in range(ATTEMPTS):
            try:
                return await asyncio.wrap_future(self.submit(advance, job))
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
        next(stage for stage in job.record.stages if stage.status == "pending").fail(why)
        job.record.outcome = "failed"
        job.record.save()
        return job.record


@lru_cache(1)
def earlier_runs(began: float) -> list[Record]:
    """The runs there were, read once for a sweep."""
    return records()


def advance(job: Job) -> Record:
    """Take a variant through its next stages, in a worker process; its record."""
    os.chdir(job.root)
    os.environ["ML_WORKFLOW_REPORTS"] = str(job.reports)
    record, donor = job.record, job.donor
    (record.folder / "files").mkdir(parents=True, exist_ok=True)
    if donor and donor.outcome == "failed":
        fail_alike(record, donor)
        return record
    pool, earlier = own_kernels(), earlier_runs(job.began)
    try:
        Walk(job.plan, record, pool, [donor, *earlier] if donor else earlier).walk()
    finally:
        pool.prepare()
    return record


def fail_alike(record: Record, donor: Record) -> None:
    """End a variant where the one failed that shares the stage, without running the stage again."""
    for stage, theirs in zip(record.stages, donor.stages, strict=True):
        if theirs.status == "failed":
            stage.fail(theirs.error, theirs.refused)
            stage.seconds, stage.reused_from = 0.0, donor.run
            notebook = f"{stage.name}.ipynb"
            with suppress(FileNotFoundError):
                link(donor.folder / notebook, record.folder / notebook)
            break
        reuse(stage, record, donor)
    record.outcome = "failed"
    record.save()


def entry(record: Record) -> Entry:
    """What MLflow keeps of a variant: its parameters, and the figures of its last verdict."""
    figures: dict[str, float] = {}
    for name, figure in record.last_figures.items():
        values = parts(figure)
        names = [f"{name}_lower", name, f"{name}_upper"] if len(values) == 3 else [name]
        named = zip(names, values, strict=True)
        figures |= {key: float(value) for key, value in named if is_finite(value)}
    sweep_name = record.sweep.name if record.sweep else ""
    tags = {"run": record.run, "sweep": sweep_name, "outcome": record.outcome}
    return Entry(record.task, record.run, record.named_parameters, figures, tags)
