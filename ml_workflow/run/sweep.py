"""A sweep: variants of a run in parallel processes, and what they share runs once."""

import asyncio
import os
import time
from collections import defaultdict
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


class Progress(NamedTuple):
    """How far a sweep is."""

    total: int
    ended: int
    record: Record | None
    """The variant that has just ended."""
    seconds_left: float | None


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


def run_sweep(
    sweep: Sweep, jobs: int, scheduler: str, tell: Callable[[Progress], None]
) -> list[Record]:
    """Run the variants, each to its end whatever becomes of the others; their records, in order.

    A variant that an earlier call finished, and whose inputs are unchanged, is kept as it is.
    """
    os.chdir(root())
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    with ThreadPoolExecutor(1) as logger, workers(jobs, scheduler) as submit:
        course = Course(sweep, plans_of(sweep), submit)
        total, ends = len(course.plans), list[float]()
        logged = [logger.submit(log, [entry(record) for record in course.final.values()])]
        tell(Progress(total, len(course.final), None, None))

        def on_end(record: Record) -> None:
            write_run_page(record)
            logged.append(logger.submit(log, [entry(record)]))
            ends.append(time.perf_counter())
            left = seconds_left(ends, total - len(course.final))
            tell(Progress(total, len(course.final), record, left))

        try:
            asyncio.run(course.run(on_end))
        finally:
            sound = [record for record in course.final.values() if record.outcome != "failed"]
            if sound:
                point_latest(max(sound, key=lambda record: record.order).run)
            write_index()
        check_logged(logged)
    return [course.final[number] for number in range(total)]


def plans_of(sweep: Sweep) -> list[Plan]:
    """The plan of each variant; a Refusal where one of the tasks is wrong."""
    names = {variant.task: "" for variant in sweep.variants}
    for task in names:
        names[task] = check_task(task)[0].name
    return [Plan(v.task, v.parameters, sweep.until, name=names[v.task]) for v in sweep.variants]


def seconds_left(ends: list[float], remaining: int) -> float | None:
    """How long the remaining variants take at the pace so far; None before two have ended."""
    return (ends[-1] - ends[0]) / (len(ends) - 1) * remaining if len(ends) > 1 else None


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


def finished_variants(sweep: Sweep, plans: list[Plan]) -> dict[int, Record]:
    """The variants, by number, that an earlier call finished and whose inputs are unchanged."""
    earlier = [record for record in records() if record.outcome != "failed"]
    final = {}
    for number, (plan, variant) in enumerate(zip(plans, sweep.variants, strict=True)):
        fresh = new_record(plan, "")
        fresh.sweep = SweepPart(name=sweep.name, variant=variant.settings)
        same = (old for old in earlier if is_whole(old, fresh, sweep.until))
        if old := next(same, None):
            final[number] = old
            write_missing_pages(old)
    return final


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

    def __init__(self, sweep: Sweep, plans: list[Plan], submit: Submit) -> None:
        self.sweep, self.plans, self.submit, self.began = sweep, plans, submit, time.time()
        self.final = finished_variants(sweep, plans)
        """The records of the variants that have ended, by number."""
        self.records = dict(self.final)
        self.owners = owners(sweep.variants, sweep.until)
        self.reached: defaultdict[tuple[int, int], asyncio.Event] = defaultdict(asyncio.Event)
        """By variant and number of stages, that it has done so many, or will not."""

    async def run(self, on_end: Callable[[Record], None]) -> None:
        """Run all variants, and tell of each as it ends."""
        ways = [asyncio.create_task(self.follow(n)) for n in range(len(self.plans))]
        for way in asyncio.as_completed(ways):
            number = await way
            if number not in self.final:
                self.final[number] = self.records[number]
                on_end(self.final[number])

    async def follow(self, number: int) -> int:
        """Take a variant to its end, with a halt after each number of stages that others share."""
        owner, shared = self.owners[number]
        halts = sorted({count for other, count in self.owners if other == number and count})
        if number not in self.final:
            if shared:
                await self.reached[owner, shared].wait()
            plan, settings = self.plans[number], self.sweep.variants[number].settings
            record = new_record(plan, new_name(plan.name))
            record.sweep = SweepPart(name=self.sweep.name, variant=settings)
            for count in [*halts, STAGES.index(plan.until) + 1]:
                donor = self.records[owner] if shared else None
                part = replace(plan, until=STAGES[count - 1])
                job = Job(part, record, donor, root(), reports(), self.began)
                record = self.records[number] = await self.result(job)
                if record.outcome != "pending":
                    break
                self.reached[number, count].set()
        for count in halts:
            self.reached[number, count].set()
        return number

    async def result(self, job: Job) -> Record:
        """The record that a worker gives back; where it gives none, its next stage has failed."""
        why = ""
        for _ in range(ATTEMPTS):
            try:
                return await asyncio.wrap_future(self.submit(advance, job))
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
        return failed(job.record, why)


def failed(record: Record, why: str) -> Record:
    """The record with its next stage marked as failed."""
    pending = [stage for stage in record.stages if stage.status == "pending"]
    [*pending, record.stages[-1]][0].fail(why)
    record.outcome = "failed"
    record.save()
    return record


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
