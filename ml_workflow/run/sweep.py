"""A sweep: variants of a run in parallel processes, and what they share runs once."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
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
"""How often a variant is started whose worker process dies: it may have been another's fault."""


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


def sweep(
    asked: Sweep, jobs: int, scheduler: str, tell: Callable[[Progress], None]
) -> list[Record]:
    """Run the variants, each to its end whatever becomes of the others; their records, in order.

    A variant that an earlier call finished, and whose inputs are unchanged, is kept as it is.
    """
    os.chdir(root())
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    with ThreadPoolExecutor(1) as logger, workers(jobs, scheduler) as submit:
        plans = plans_of(asked)
        ended = finished(asked, plans)
        logged = [logger.submit(log, [entry(record) for record in ended.values()])]
        tell(Progress(len(plans), len(ended), None, None))
        ends: list[float] = []
        try:
            for number, record in Course(asked, plans, ended, submit).run():
                ended[number] = record
                write_run_page(record)
                logged.append(logger.submit(log, [entry(record)]))
                ends.append(time.perf_counter())
                left = seconds_left(ends, len(plans) - len(ended))
                tell(Progress(len(plans), len(ended), record, left))
        finally:
            if sound := [record for record in ended.values() if record.outcome != "failed"]:
                point_latest(max(sound, key=lambda record: record.order).run)
            write_index()
        check_logged(logged)
    return [ended[number] for number in range(len(plans))]


def plans_of(asked: Sweep) -> list[Plan]:
    """The plan of each variant; a Refusal where one of the tasks is wrong."""
    names = {variant.task: "" for variant in asked.variants}
    for task in names:
        names[task] = check_task(task)[0].name
    return [Plan(v.task, v.parameters, asked.until, name=names[v.task]) for v in asked.variants]


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


def finished(asked: Sweep, plans: list[Plan]) -> dict[int, Record]:
    """The variants, by number, that an earlier call finished and whose inputs are unchanged."""
    earlier = [record for record in records() if record.outcome != "failed"]
    found = {}
    for number, (plan, variant) in enumerate(zip(plans, asked.variants, strict=True)):
        fresh = new_record(plan, "")
        fresh.sweep = SweepPart(name=asked.name, variant=variant.given)
        same = (old for old in earlier if is_whole(old, fresh, asked.until))
        if old := next(same, None):
            found[number] = old
            write_missing_pages(old)
    return found


def is_whole(old: Record, fresh: Record, until: str) -> bool:
    """Whether a run is of this variant, went as far as asked, and all that it read is unchanged."""
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
    found = []
    for number, variant in enumerate(variants):
        owner = number, 0
        for count, stage in enumerate((s for s in STAGES if s <= until), start=1):
            prefix = repr((variant.task, [variant.parameters[s] for s in STAGES if s <= stage]))
            if first.setdefault(prefix, number) != number:
                owner = first[prefix], count
        found.append(owner)
    return found


class Course:
    """Variants under way: each begins when what it shares with an earlier one is done."""

    def __init__(
        self, asked: Sweep, plans: list[Plan], ended: dict[int, Record], submit: Submit
    ) -> None:
        self.asked, self.plans, self.submit, self.began = asked, plans, submit, time.time()
        self.records = dict(ended)
        self.waiting = [number for number in range(len(plans)) if number not in ended]
        self.owners = owners(asked.variants, asked.until)
        self.whole = STAGES.index(asked.until) + 1
        self.running: dict[Future[Record], tuple[int, int]] = {}
        self.deaths: Counter[int] = Counter()

    def run(self) -> Iterator[tuple[int, Record]]:
        """Run all that wait; number and record of each as it ends."""
        for number, is_ended in [(n, n in self.records) for n in range(len(self.plans))]:
            self.release(number, self.whole if is_ended else 0)
        while self.running:
            for future in wait(self.running, return_when=FIRST_COMPLETED).done:
                number, count = self.running.pop(future)
                if self.died(number, future):
                    self.start(number, count - 1)
                    continue
                record = self.records[number] = self.result(number, future)
                if count < self.whole and record.outcome == "pending":
                    self.start(number, count)
                    self.release(number, count)
                else:
                    self.release(number, self.whole)
                    yield number, record

    def release(self, owner: int, count: int) -> None:
        """Start the variants that wait for so many stages of this one, or for fewer."""
        for number in self.waiting.copy():
            if self.owners[number][0] == owner and self.owners[number][1] <= count:
                self.waiting.remove(number)
                plan, given = self.plans[number], self.asked.variants[number].given
                self.records[number] = new_record(plan, new_name(plan.name))
                self.records[number].sweep = SweepPart(name=self.asked.name, variant=given)
                self.start(number, 0)

    def start(self, number: int, done: int) -> None:
        """Submit a variant's next part, from so many stages on, up to where others wait for it."""
        stops = [count for owner, count in self.owners if owner == number and count > done]
        count = min([*stops, self.whole])
        plan = replace(self.plans[number], until=STAGES[count - 1])
        owner, shared = self.owners[number]
        donor = self.records[owner] if shared else None
        job = Job(plan, self.records[number], donor, root(), reports(), self.began)
        self.running[self.submit(advance, job)] = number, count

    def died(self, number: int, future: "Future[Record]") -> bool:
        """Whether a variant's process has died and the variant may be tried once more."""
        self.deaths[number] += isinstance(future.exception(), BrokenProcessPool)
        return isinstance(future.exception(), BrokenProcessPool) and self.deaths[number] < ATTEMPTS

    def result(self, number: int, future: "Future[Record]") -> Record:
        """The record that a worker gave back; where it gave none, its next stage has failed."""
        if (error := future.exception()) is None:
            return future.result()
        record = self.records[number]
        pending = [stage for stage in record.stages if stage.status == "pending"]
        [*pending, record.stages[-1]][0].fail(f"{type(error).__name__}: {error}")
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
