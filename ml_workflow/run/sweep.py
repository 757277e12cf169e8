"""A sweep: variants of a run, planned as a tree so that what they share runs once, in parallel processes."""

import atexit
import itertools
import math
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache, lru_cache
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple

from ..draft.check import check_task
from ..errors import Refusal, nearest
from ..model.registry import Entry, log
from ..report import pages
from ..report.run_page import write_summary
from ..store.files import root
from ..store.run import STAGES, new_name, point_latest, reports
from .chain import Fault, Plan, link, new_record, render_missing, reuse, save, unchanged, walk
from .kernels import Kernels, kernels
from .notebooks import checked, read_yaml, stage_named

ATTEMPTS = 3
"""How often a variant is started whose worker process has died: it may have been another's fault."""
PRELOADED = ["ml_workflow.run.sweep", "papermill", "nbconvert.exporters"]
"""What worker processes need; imported once, and the workers forked from there where fork is sound."""
KEYS = ("task", "tasks", "base", "grid", "list", "random", "until")
Record = dict[str, Any]


class Variant(NamedTuple):
    """One run of a sweep."""

    task: str
    given: dict[str, Any]
    """What sets it apart, named as in the sweep's file."""
    parameters: dict[str, dict[str, Any]]
    """All its parameters, checked, by stage."""


class Sweep(NamedTuple):
    """What a sweep's file asks for."""

    name: str
    variants: list[Variant]
    until: str


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
    donor: Record | None
    """The record of the variant whose first stages it shares."""
    root: Path
    reports: Path
    began: float
    """When the sweep began: earlier runs are read once for it."""


def read_sweep(path: Path) -> Sweep:
    """The sweep that a YAML file describes, every parameter of every variant checked.

    Raises Refusal for what is wrong with the file, with a name or with a value's type.
    """
    if not path.is_file():
        raise Refusal(
            f"There is no sweep {path}.{nearest(path.name, [p.name for p in path.parent.glob('*.yaml')])}"
        )
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise Refusal(f"{path} must be a mapping with some of {', '.join(KEYS)}.")
    for key in content:
        if key not in KEYS:
            raise Refusal(
                f"{path} has the unknown key {key!r}.{nearest(str(key), KEYS)} There are: {', '.join(KEYS)}."
            )
    tasks = content.get("tasks") or [content.get("task", "credit")]
    if not isinstance(tasks, list):
        raise Refusal(f"`tasks` in {path} is {tasks!r}: give a list, such as [{tasks}].")
    settings = [
        *combinations(content.get("grid")),
        *entries(content.get("list")),
        *draws(content.get("random")),
    ]
    base = mapping("base", content.get("base"))
    several = {"task"} if len(tasks) > 1 else set()
    variants: list[Variant] = []
    for task, given in itertools.product(tasks, settings or [{}]):
        variant = Variant(
            str(task), {**({"task": task} if several else {}), **given}, checked({**base, **given})
        )
        if not any(variant[::2] == other[::2] for other in variants):
            variants.append(variant)
    return Sweep(path.stem, variants, stage_named(str(content.get("until", STAGES[-1]))))


def mapping(place: str, content: Any) -> dict[str, Any]:
    """The content of a key of the file, which must be a mapping."""
    if not isinstance(content or {}, dict):
        raise Refusal(f"`{place}` must be a mapping of names to values, but is {content!r}.")
    return {str(name): value for name, value in (content or {}).items()}


def combinations(grid: Any) -> list[dict[str, Any]]:
    """Every combination of the grid's values."""
    values = mapping("grid", grid)
    for name, options in values.items():
        if not isinstance(options, list) or not options:
            raise Refusal(
                f"`grid` must give a list of values for {name}, such as [1, 2], but gives {options!r}."
            )
    return (
        [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
        if values
        else []
    )


def entries(given: Any) -> list[dict[str, Any]]:
    """The settings that stand in the file one by one."""
    if not isinstance(given or [], list):
        raise Refusal(f"`list` must be a list of mappings, but is {given!r}.")
    return [mapping("list", entry) for entry in given or []]


def draws(given: Any) -> list[dict[str, Any]]:
    """`n` random settings: of a list one value, of {low, high} a number between, log: true for even orders of magnitude."""
    content = mapping("random", given)
    if not content:
        return []
    n, seed, ranges = (
        content.pop("n", None),
        content.pop("seed", 0),
        mapping("random.parameters", content.pop("parameters", None)),
    )
    if content or not isinstance(n, int) or n < 1 or not ranges:
        raise Refusal(
            "`random` takes n (1 or more), seed and parameters (name: [values] or name: {low, high, log}), nothing else."
        )
    generator = random.Random(seed)
    return [
        {name: draw(name, options, generator) for name, options in ranges.items()} for _ in range(n)
    ]


def draw(name: str, options: Any, generator: random.Random) -> Any:
    """One random value of a list or between two bounds; whole bounds give a whole number."""
    if isinstance(options, list) and options:
        return generator.choice(options)
    wrong = Refusal(
        f"`random` must give for {name} a list of values, or low and high (with log: true, both above 0), but gives {options!r}."
    )
    if not isinstance(options, dict) or not {"low", "high"} <= set(options) <= {
        "low",
        "high",
        "log",
    }:
        raise wrong
    low, high, log_scale = options["low"], options["high"], options.get("log", False)
    if (
        not all(isinstance(bound, (int, float)) for bound in (low, high))
        or low > high
        or (log_scale and low <= 0)
    ):
        raise wrong
    drawn = (
        math.exp(generator.uniform(math.log(low), math.log(high)))
        if log_scale
        else generator.uniform(low, high)
    )
    whole = isinstance(low, int) and isinstance(high, int)
    return (
        (round(drawn) if log_scale else generator.randint(low, high))
        if whole
        else float(f"{drawn:.6g}")
    )


def owners(variants: list[Variant], until: str) -> list[tuple[int, int]]:
    """For each variant the earliest one that shares the most stages with it, counted from the first, and how many; itself and 0 if none does."""
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


def sweep(
    asked: Sweep, jobs: int, scheduler: str, tell: Callable[[Progress], None]
) -> list[Record]:
    """Run the variants, each to its end whatever becomes of the others; their records, in the order of the file.

    A variant that an earlier call finished, and whose inputs are unchanged, is kept as it is.
    """
    os.chdir(root())
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    with ThreadPoolExecutor(1) as logger, workers(jobs, scheduler) as submit:
        names = {
            task: check_task(task)[0].name for task in dict.fromkeys(v.task for v in asked.variants)
        }
        plans = [
            Plan(v.task, v.parameters, asked.until, name=names[v.task]) for v in asked.variants
        ]
        records = kept(asked, plans)
        logged = [logger.submit(log, [entry(record) for record in records.values()])]
        tell(Progress(len(plans), len(records), None, None))
        ends: list[float] = []
        try:
            for number, record in course(asked, plans, records, submit):
                records[number] = record
                write_summary(reports() / record["run"], record)
                logged.append(logger.submit(log, [entry(record)]))
                ends.append(time.perf_counter())
                left = (
                    (ends[-1] - ends[0]) / (len(ends) - 1) * (len(plans) - len(records))
                    if len(ends) > 1
                    else None
                )
                tell(Progress(len(plans), len(records), record, left))
        finally:
            if sound := [r["run"] for r in records.values() if r["outcome"] != "failed"]:
                point_latest(max(sound, key=lambda run: run.rsplit("-", 2)[1:]))
            pages.write_index()
        try:
            for future in logged:
                future.result()
        except Exception as error:
            raise Fault(
                f"All variants have ended, but MLflow could not be told of each: {error}. The same command tells it what is missing."
            ) from error
    return [records[number] for number in range(len(plans))]


def kept(asked: Sweep, plans: list[Plan]) -> dict[int, Record]:
    """The variants, by number, that an earlier call of the sweep finished and whose inputs are what they were."""
    earlier = [
        r
        for r in pages.records()
        if r.get("sweep", {}).get("name") == asked.name and r["outcome"] != "failed"
    ]
    found = {}
    for number, (plan, variant) in enumerate(zip(plans, asked.variants, strict=True)):
        fresh = new_record("", plan)
        if same := next(
            (
                old
                for old in earlier
                if old["sweep"]["variant"] == variant.given and is_whole(old, fresh, asked.until)
            ),
            None,
        ):
            found[number] = same
            render_missing(same)
    return found


def is_whole(old: Record, fresh: Record, until: str) -> bool:
    """Whether a run went as far as asked, and all that it read is unchanged."""
    folder = reports() / old["run"]
    for theirs, ours in zip(old["stages"], fresh["stages"], strict=True):
        if theirs["name"] > until or old["versions"] != fresh["versions"]:
            break
        if not unchanged(folder, ours, theirs):
            return False
        if theirs["status"] == "stopped":
            break
    return bool(old["versions"] == fresh["versions"])


def course(
    asked: Sweep,
    plans: list[Plan],
    kept: dict[int, Record],
    submit: Callable[[Job], "Future[Record]"],
) -> Iterator[tuple[int, Record]]:
    """Run each variant as soon as the stages that it shares with an earlier one are done; number and record as each ends."""
    sharing = owners(asked.variants, asked.until)
    records, whole, began = dict(kept), STAGES.index(asked.until) + 1, time.time()
    waiting = [number for number in range(len(plans)) if number not in kept]
    running: dict[Future[Record], tuple[int, int]] = {}
    attempts = [0] * len(plans)

    def start(number: int, done: int) -> None:
        """Submit a variant's next part, up to where others wait for it."""
        count = min(
            (
                c
                for other, (owner, c) in enumerate(sharing)
                if owner == number and c > done and other in waiting
            ),
            default=whole,
        )
        plan = replace(plans[number], until=STAGES[count - 1], record=records[number])
        donor = records[sharing[number][0]] if sharing[number][1] else None
        running[submit(Job(plan, donor, root(), reports(), began))] = number, count

    def start_waiting(free: Callable[[int, int], bool]) -> None:
        """Start those that wait and may start, given the variant they wait for and the stages they share with it."""
        for number in [n for n in waiting if free(*sharing[n])]:
            waiting.remove(number)
            about = {"name": asked.name, "variant": asked.variants[number].given}
            records[number] = new_record(new_name(plans[number].name), plans[number]) | {
                "sweep": about
            }
            start(number, 0)

    start_waiting(lambda owner, shared: shared == 0 or owner in kept)
    while running:
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            number, count = running.pop(future)
            error = future.exception()
            attempts[number] += 1
            if isinstance(error, BrokenProcessPool) and attempts[number] < ATTEMPTS:
                start(number, count - 1)
                continue
            records[number] = (
                future.result()
                if error is None
                else failed(records[number], f"{type(error).__name__}: {error}")
            )
            ended = count == whole or records[number]["outcome"] in ("failed", "stop")
            if not ended:
                start(number, count)
            start_waiting(
                lambda owner, shared, n=number, c=whole if ended else count: (
                    owner == n and shared <= c
                )
            )  # type: ignore[misc]
            if ended:
                yield number, records[number]


def failed(record: Record, why: str) -> Record:
    """The record with its first pending stage marked as failed."""
    stage = next((s for s in record["stages"] if s["status"] == "pending"), record["stages"][-1])
    stage |= {"status": "failed", "error": why, "refused": False}
    return record | {"outcome": "failed"}


@contextmanager
def workers(jobs: int, scheduler: str) -> Iterator[Callable[[Job], "Future[Record]"]]:
    """What submits a job: to processes of this machine that share one warm parent, or to a Dask cluster."""
    if scheduler:
        from distributed import Client

        try:
            client = Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise Refusal(
                f"No Dask scheduler answers at {scheduler!r}: {error}. Start one with `dask scheduler`, or leave out --scheduler."
            ) from None
        with client:
            yield lambda job: client.get_executor(pure=False).submit(advance, job)
        return
    context = multiprocessing.get_context(
        "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    )
    executors: list[ProcessPoolExecutor] = []
    with kernels() as pool:
        if context.get_start_method() == "forkserver":
            context.set_forkserver_preload(PRELOADED)
            forkserver.ensure_running()

        def submit(job: Job) -> "Future[Record]":
            try:
                return executors[-1].submit(advance, job)
            except (IndexError, BrokenProcessPool):
                executors.append(ProcessPoolExecutor(jobs, context, begin, (pool,)))
                return executors[-1].submit(advance, job)

        try:
            yield submit
        except BaseException:
            for child in multiprocessing.active_children():
                child.kill()
            raise
        finally:
            for executor in executors:
                executor.shutdown(cancel_futures=True)


_pool: Kernels | None = None


def begin(pool: Kernels) -> None:
    """Set up a worker process: it uses the sweep's warm parent, leaves Ctrl-C to the sweep, and ends with it."""
    global _pool
    _pool = pool
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(
        target=_end_with, args=(multiprocessing.parent_process(),), daemon=True
    ).start()


def _end_with(process: Any) -> None:
    process.join()
    os._exit(1)


@cache
def own_kernels() -> Kernels:
    """Kernels of a process on a cluster, until it ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(kernels())


@lru_cache(1)
def earlier(began: float) -> list[Record]:
    """The runs there were, read once for a sweep."""
    return pages.records()


def advance(job: Job) -> Record:
    """Take a variant through its next stages, in a worker process; its record."""
    os.chdir(job.root)
    os.environ["ML_WORKFLOW_REPORTS"] = str(job.reports)
    record, donors = job.plan.record, [job.donor] if job.donor else []
    folder, pool = reports() / record["run"], _pool or own_kernels()
    (folder / "files").mkdir(parents=True, exist_ok=True)
    if job.donor and job.donor["outcome"] == "failed":
        return fail_alike(folder, record, job.donor)
    with (
        ThreadPoolExecutor(1) as painter,
        suppress(Fault, Refusal),
    ):  # a failure stands in the record
        try:
            walk(
                folder,
                job.plan,
                pool,
                painter,
                [],
                donors + earlier(job.began),
                lambda event, stage: None,
            )
        finally:
            pool.prepare()
    return record


def fail_alike(folder: Path, record: Record, donor: Record) -> Record:
    """End a variant where the one failed that shares the stage, without running the stage again."""
    for stage, theirs in zip(record["stages"], donor["stages"], strict=True):
        if theirs["status"] == "failed":
            stage |= {key: theirs[key] for key in ("status", "error", "refused")} | {
                "seconds": 0.0,
                "from": donor["run"],
            }
            with suppress(FileNotFoundError):
                link(
                    reports() / donor["run"] / f"{stage['name']}.ipynb",
                    folder / f"{stage['name']}.ipynb",
                )
            break
        reuse(folder, stage, record, [donor])
    record["outcome"] = "failed"
    save(folder, record)
    return record


def entry(record: Record) -> Entry:
    """What MLflow keeps of a variant: its parameters, and the figures of its last verdict."""
    judged = [stage["verdict"]["figures"] for stage in record["stages"] if stage.get("verdict")]
    figures: dict[str, float] = {}
    for name, figure in (judged[-1] if judged else {}).items():
        named = (
            zip((f"{name}_lower", name, f"{name}_upper"), figure, strict=True)
            if isinstance(figure, list) and len(figure) == 3
            else [(name, figure)]
        )
        figures |= {
            key: float(value)
            for key, value in named
            if isinstance(value, (int, float)) and math.isfinite(value)
        }
    parameters = {
        f"{stage}.{name}": value
        for stage, values in record["parameters"].items()
        for name, value in values.items()
    }
    tags = {"run": record["run"], "sweep": record["sweep"]["name"], "outcome": record["outcome"]}
    return Entry(record["task"], record["run"], parameters, figures, tags)
