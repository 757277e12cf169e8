"""A step of a pipeline, from frame to frame: in memory, or part by part in processes or on a Dask cluster.

Finished parts are kept: a step that was killed goes on with those that are missing."""

import hashlib
import inspect
import json
import math
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from rich.console import Console
from rich.progress import Progress

from ..errors import Refusal, nearest
from .parts import ROWS, Chunk, Table, frame_of, parquet_files, table_of, whole

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
"""What tells the numerical libraries of a worker process to leave the other processors to the other workers."""
MANIFEST = "_step.json"
Function = Callable[[pd.DataFrame], pd.DataFrame]
Job = tuple[Any, ...]
"""What a worker calls: a function, its arguments, and last the path of the file that it writes."""


@dataclass(frozen=True)
class Step:
    """What turns a table into the next: `make(*arguments)` gives, once in each worker, the function from frame to frame.

    `make` is a function of a module that workers can import. The function gets all rows of a `unit` at once, in the order
    of the source, and any number of units; without a unit each row is one.
    """

    make: Callable[..., Function]
    arguments: tuple[Hashable, ...] = ()
    unit: str | None = None

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The step on a frame in memory."""
        return _made(self.make, self.arguments)(frame)


class Done(NamedTuple):
    """A finished step: its folder of Parquet parts, how many there are, how many an earlier call had finished, and the seconds of this one."""

    folder: Path
    parts: int
    kept: int
    seconds: float


def run(
    step: Step,
    source: Path,
    target: Path,
    scheduler: str = "",
    processes: int | None = None,
    at_once: int = ROWS,
) -> Done:
    """Apply a step to Parquet files, out of core, in processes of one thread or on a Dask cluster that sees the same folders.

    The target appears when all its parts are there. Rows stay in the order of the source, with a unit they are grouped by its hash.
    """
    began, table = time.perf_counter(), table_of(source, at_once)
    if step.unit is not None and step.unit not in table.schema.names:
        raise Refusal(
            f"{source} has no column {step.unit!r}, the unit of the step.{nearest(step.unit, table.schema.names)}"
        )
    about = _about(step, table)
    if _holds(target, about):
        count = len(parquet_files(target))
        return Done(target, count, count, time.perf_counter() - began)
    work = target.with_name(f".{target.name}.parts")
    if not _holds(work, about):
        _write(work / MANIFEST, about)
    parts = (
        _by_unit(step, table, work)
        if step.unit is not None
        else [
            (work_on_rows, step, table, chunk, work / _name(n))
            for n, chunk in enumerate(table.chunks())
        ]
    )
    splits = [
        (split, table, chunk, step.unit, len(parts), work / "split" / f"{n:05}.arrow")
        for n, chunk in enumerate(table.chunks())
    ]
    with _progress() as progress:
        if step.unit is not None and _missing(parts):
            complete(splits, scheduler, processes, progress, f"{target.name}: gather units")
        kept = complete(parts, scheduler, processes, progress, target.name)
    _agree(work)
    shutil.rmtree(work / "split", ignore_errors=True)
    work.replace(target)
    return Done(target, len(parts), kept, time.perf_counter() - began)


def alike_first(function: Function) -> Function:
    """The same function of each row by itself, given the rows so that those that are alike are neighbours.

    Processors guess the branches of decision trees better then: on the credit table LightGBM took a quarter less time, with repeated customers two fifths.
    """

    def sorted_first(frame: pd.DataFrame) -> pd.DataFrame:
        order = _alike(frame)
        made = function(frame.iloc[order].reset_index(drop=True))
        return made.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)

    return sorted_first


def _alike(frame: pd.DataFrame) -> np.ndarray:
    """The order by all columns with few values, those with the fewest first."""
    levels = frame.head(1_000).nunique().sort_values(kind="stable")
    keys = [
        pd.factorize(frame[name], sort=True)[0]
        for name in levels.index[(levels > 1) & (levels <= 20)]
    ]
    return (
        np.lexsort([key.astype("int16") for key in reversed(keys)])
        if keys
        else np.arange(len(frame))
    )


def query(connection: sa.Connection, text: str, target: Path, at_once: int = ROWS) -> Path:
    """The rows of a database query as a folder of Parquet files, streamed; whole or not at all, and kept when it is there already."""
    about = {"query": text, "at_once": at_once}
    if not _holds(target, about):
        with whole(target) as folder:
            for number, frame in enumerate(
                pd.read_sql(
                    sa.text(text),
                    connection.execution_options(stream_results=True),
                    chunksize=at_once,
                )
            ):
                _write_part(folder / _name(number), [_arrow(frame)])
            _agree(folder)
            _write(folder / MANIFEST, about)
    return target


def complete(
    jobs: list[Job], scheduler: str, processes: int | None, progress: Progress, title: str
) -> int:
    """Do the jobs whose files are missing, again while that brings any; how many files there were before.

    A worker that dies loses no more than the file it was writing.
    """
    missing = _missing(jobs)
    kept, bar = (
        len(jobs) - len(missing),
        progress.add_task(title, total=len(jobs), completed=len(jobs) - len(missing)),
    )
    while missing:
        failure = None
        with workers(scheduler, min(processes or os.cpu_count() or 1, len(missing))) as pool:
            try:
                for future in as_completed([pool.submit(*job) for job in missing]):
                    failure = future.exception() or failure
                    progress.advance(bar, 0 if future.exception() else 1)
            except BrokenProcessPool as error:
                failure = error
        before, missing = len(missing), _missing(jobs)
        progress.update(bar, completed=len(jobs) - len(missing))
        if failure and len(missing) == before:
            raise _sentence(title, len(missing), failure) from failure
    return kept


@contextmanager
def workers(scheduler: str, processes: int) -> Iterator[Executor]:
    """Processes of this machine with one thread each, or the workers of the Dask cluster at an address (tcp://…)."""
    if scheduler:
        with connected(scheduler) as client:
            yield client.get_executor(pure=False)
        return
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def connected(scheduler: str) -> Any:
    """A client of the Dask cluster at an address."""
    from distributed import Client

    try:
        return Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise Refusal(
            f"No Dask scheduler answers at {scheduler!r}: {error}. Start one with `dask scheduler`, or leave the scheduler out."
        ) from None


def work_on_rows(step: Step, table: Table, chunk: Chunk, path: Path) -> None:
    """Apply a step without a unit to a chunk of a table, batch by batch, and write one part."""
    _write_part(path, [_arrow(step(frame_of(batch, table))) for batch in table.batches(chunk)])


def split(table: Table, chunk: Chunk, unit: str, parts: int, path: Path) -> None:
    """Sort the rows of a chunk by the hash of their unit into an Arrow file: of each batch of rows one record batch a part."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        whole(path) as temporary,
        pa.ipc.new_file(str(temporary), table.schema, options=options) as writer,
    ):
        for batch in table.batches(chunk):
            part = (
                pd.util.hash_pandas_object(
                    frame_of(batch.select([unit]), table)[unit], index=False
                ).to_numpy()
                % parts
            )
            order = np.argsort(part, kind="stable")
            ends, rows = (
                np.searchsorted(part[order], np.arange(parts + 1)),
                batch.take(pa.array(order)),
            )
            for start, end in pairwise(ends):
                writer.write_batch(rows.slice(start, end - start))


def work_on_units(
    step: Step, table: Table, splits: Path, part: int, parts: int, path: Path
) -> None:
    """Apply a step to all rows of the units of one part, in the order of the source."""
    batches = []
    for file in sorted(splits.glob("*.arrow")):
        with pa.memory_map(str(file)) as memory, pa.ipc.open_file(memory) as reader:
            batches += [
                reader.get_batch(number) for number in range(part, reader.num_record_batches, parts)
            ]
    rows = pa.Table.from_batches(batches, table.schema)
    _write_part(path, [_arrow(step(frame_of(rows, table)))])


def _by_unit(step: Step, table: Table, work: Path) -> list[Job]:
    parts = max(1, math.ceil(table.rows / table.at_once))
    return [
        (work_on_units, step, table, work / "split", part, parts, work / _name(part))
        for part in range(parts)
    ]


_lock = threading.Lock()


def _made(make: Callable[..., Function], arguments: tuple[Hashable, ...]) -> Function:
    with _lock:  # a Dask worker has several threads
        return _cached(make, arguments)


@lru_cache(4)
def _cached(make: Callable[..., Function], arguments: tuple[Hashable, ...]) -> Function:
    return make(*arguments)


def _begin() -> None:
    """Set up a worker process: one thread, Ctrl-C left to the parent, and an end with the parent."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    pa.set_cpu_count(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(
        target=_end_with, args=(multiprocessing.parent_process(),), daemon=True
    ).start()


def _end_with(process: Any) -> None:
    process.join()
    os._exit(1)


def _about(step: Step, table: Table) -> dict[str, Any]:
    """What a step's parts depend on, as JSON keeps it."""
    code = Path(inspect.getfile(step.make)).read_bytes()
    files = [
        (str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns) for file in table.files
    ]
    about = {
        **asdict(step),
        "make": f"{step.make.__module__}.{step.make.__qualname__}",
        "code": hashlib.sha256(code).hexdigest(),
        "at_once": table.at_once,
        "source": files,
    }
    return dict(json.loads(json.dumps(about, default=str)))


def _holds(folder: Path, about: dict[str, Any]) -> bool:
    """Whether a folder holds parts of just this step; refused when it holds anything else."""
    if not folder.exists():
        return False
    if (folder / MANIFEST).exists() and json.loads(
        (folder / MANIFEST).read_text(encoding="utf-8")
    ) == about:
        return True
    raise Refusal(
        f"{folder} holds something else (another step, source or version of the code): give another folder, or delete this one."
    )


def _write(path: Path, about: dict[str, Any]) -> None:
    with whole(path) as temporary:
        temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")


def _name(part: int) -> str:
    return f"part-{part:05}.parquet"


def _missing(jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if not job[-1].exists()]


def _arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()


def _write_part(path: Path, tables: list[pa.Table]) -> None:
    with whole(path) as temporary:
        pq.write_table(
            pa.concat_tables(tables, promote_options="permissive"), temporary, row_group_size=ROWS
        )


def _agree(folder: Path) -> None:
    """Give all parts one schema: a column may hold whole numbers in one part and decimals, or nothing, in another."""
    files = parquet_files(folder)
    schemas = [pq.read_schema(file) for file in files]
    common = pa.unify_schemas(schemas, promote_options="permissive")
    for file, schema in zip(files, schemas, strict=True):
        if schema != common:
            with whole(file) as temporary:
                pq.write_table(pq.read_table(file).cast(common), temporary, row_group_size=ROWS)


def _progress() -> Progress:
    return Progress(*Progress.get_default_columns(), console=Console(stderr=True))


def _sentence(title: str, missing: int, failure: BaseException) -> Refusal:
    if isinstance(failure, Refusal):
        return failure
    return Refusal(
        f"{title}: {missing} parts failed, of which one said {type(failure).__name__}: {failure}. Finished parts are kept: mend it and run the step again."
    )
