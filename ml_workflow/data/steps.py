"""A step of a pipeline, from frame to frame: in memory, or part by part in processes or on Dask.

Finished parts are kept: a step that was killed goes on with those that are missing."""

import hashlib
import inspect
import json
import math
import multiprocessing
import os
import shutil
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
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from rich.console import Console
from rich.progress import Progress

from ..errors import Refusal, nearest
from ..store.files import write_atomically, write_json
from .parts import ROWS, Chunk, Table, frame_of, parquet_files, table_of
from .processes import dask_client, end_with_parent

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
"""What tells the numerical libraries of a worker to leave the processors to other workers."""
MANIFEST = "_step.json"
Function = Callable[[pd.DataFrame], pd.DataFrame]
Job = tuple[Any, ...]
"""What a worker calls: a function, its arguments, and last the path of the file that it writes."""


@dataclass(frozen=True)
class Step:
    """What turns a table into the next, by the function that `make(*arguments)` gives.

    `make` is of a module that workers can import, and called once in each. The function gets all
    rows of a `unit` at once, in the order of the source, and any number of units; without a unit
    each row is one.
    """

    make: Callable[..., Function]
    arguments: tuple[Hashable, ...] = ()
    unit: str | None = None

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The step on a frame in memory."""
        with _lock:  # a Dask worker has several threads
            function = _made(self.make, self.arguments)
        return function(frame)


class Done(NamedTuple):
    """A finished step: its folder of Parquet parts, and how many there are."""

    folder: Path
    parts: int
    kept: int
    """How many an earlier call had finished."""
    seconds: float
    """What this call took."""


def run(
    step: Step,
    source: Path,
    target: Path,
    scheduler: str = "",
    processes: int | None = None,
    at_once: int = ROWS,
) -> Done:
    """Apply a step to Parquet files, out of core.

    In processes of one thread, or on a Dask cluster that sees the same folders. The target appears
    when all its parts are there. Rows stay in the order of the source; with a unit they are
    grouped by its hash.
    """
    began, table = time.perf_counter(), table_of(source, at_once)
    if step.unit is not None and step.unit not in table.schema.names:
        raise Refusal(
            f"{source} has no column {step.unit!r}, the unit of the step."
            f"{nearest(step.unit, table.schema.names)}"
        )
    manifest = _manifest(step, table)
    if _holds(target, manifest):
        count = len(parquet_files(target))
        return Done(target, count, count, time.perf_counter() - began)
    work = target.with_name(f".{target.name}.parts")
    if not _holds(work, manifest):
        write_json(work / MANIFEST, manifest)
    splits, parts = _jobs(step, table, work)
    with Progress(console=Console(stderr=True)) as progress:
        if splits and _missing(parts):
            complete(splits, scheduler, processes, progress, f"{target.name}: gather units")
        kept = complete(parts, scheduler, processes, progress, target.name)
    _agree(work)
    shutil.rmtree(work / "split", ignore_errors=True)
    work.replace(target)
    return Done(target, len(parts), kept, time.perf_counter() - began)


def _jobs(step: Step, table: Table, work: Path) -> tuple[list[Job], list[Job]]:
    """The jobs that sort rows by their unit, where there is one, and those that write the parts."""
    if step.unit is None:
        chunks = enumerate(table.chunks())
        return [], [(work_on_rows, step, table, chunk, work / _name(n)) for n, chunk in chunks]
    count, folder = max(1, math.ceil(table.rows / table.at_once)), work / "split"
    splits: list[Job] = [
        (split, table, chunk, step.unit, count, folder / f"{n:05}.arrow")
        for n, chunk in enumerate(table.chunks())
    ]
    parts: list[Job] = [
        (work_on_units, step, table, folder, part, count, work / _name(part))
        for part in range(count)
    ]
    return splits, parts


def alike_first(function: Function) -> Function:
    """The same function of each row by itself, given the rows so that those alike are neighbours.

    Processors guess the branches of decision trees better then: on the credit table LightGBM took
    a quarter less time, with repeated customers two fifths.
    """

    def sorted_first(frame: pd.DataFrame) -> pd.DataFrame:
        order = _alike(frame)
        result = function(frame.iloc[order].reset_index(drop=True))
        return result.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)

    return sorted_first


def _alike(frame: pd.DataFrame) -> np.ndarray:
    """The order by all columns with few values, those with the fewest first."""
    levels = frame.head(1_000).nunique().sort_values(kind="stable")
    names = levels.index[(levels > 1) & (levels <= 20)]
    keys = [pd.factorize(frame[name], sort=True)[0].astype("int16") for name in names[::-1]]
    return np.lexsort(keys) if keys else np.arange(len(frame))


def query(connection: sa.Connection, text: str, target: Path, at_once: int = ROWS) -> Path:
    """The rows of a database query as a folder of Parquet files, streamed.

    Whole or not at all, and kept when it is there already.
    """
    manifest = {"query": text, "at_once": at_once}
    if _holds(target, manifest):
        return target
    streamed = connection.execution_options(stream_results=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
        folder = Path(place) / "rows"
        for part, frame in enumerate(pd.read_sql(sa.text(text), streamed, chunksize=at_once)):
            _write_part(folder / _name(part), [_arrow(frame)])
        _agree(folder)
        write_json(folder / MANIFEST, manifest)
        folder.replace(target)
    return target


def complete(
    jobs: list[Job], scheduler: str, processes: int | None, progress: Progress, title: str
) -> int:
    """Do the jobs whose files are missing, again while that brings any.

    How many files there were before. A worker that dies loses the file it was writing, no more.
    """
    missing = _missing(jobs)
    kept = len(jobs) - len(missing)
    bar = progress.add_task(title, total=len(jobs), completed=kept)
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
            raise _refusal(title, len(missing), failure) from failure
    return kept


@contextmanager
def workers(scheduler: str, processes: int) -> Iterator[Executor]:
    """Processes of this machine with one thread each, or those of a Dask cluster (tcp://…)."""
    if scheduler:
        with dask_client(scheduler) as client:
            yield client.get_executor(pure=False)
        return
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def work_on_rows(step: Step, table: Table, chunk: Chunk, path: Path) -> None:
    """Apply a step without a unit to a chunk of a table, batch by batch, and write one part."""
    _write_part(path, [_arrow(step(frame_of(batch, table))) for batch in table.batches(chunk)])


def split(table: Table, chunk: Chunk, unit: str, parts: int, path: Path) -> None:
    """Sort the rows of a chunk by the hash of their unit into an Arrow file.

    Of each batch of rows it holds one record batch a part.
    """

    def write(place: Path) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(str(place), table.schema, options=options) as writer:
            for batch in table.batches(chunk):
                units = frame_of(batch.select([unit]), table)[unit]
                part = pd.util.hash_pandas_object(units, index=False).to_numpy() % parts
                order = np.argsort(part, kind="stable")
                rows = batch.take(pa.array(order))
                for start, end in pairwise(np.searchsorted(part[order], np.arange(parts + 1))):
                    writer.write_batch(rows.slice(start, end - start))

    write_atomically(path, write)


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


_lock = threading.Lock()


@lru_cache(4)
def _made(make: Callable[..., Function], arguments: tuple[Hashable, ...]) -> Function:
    return make(*arguments)


def _begin() -> None:
    """Set up a worker process: one thread, Ctrl-C left to the parent, an end with it."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    pa.set_cpu_count(1)
    end_with_parent()


def _manifest(step: Step, table: Table) -> dict[str, Any]:
    """What a step's parts depend on, as JSON keeps it."""
    stats = [(str(file.absolute()), file.stat()) for file in table.files]
    manifest = {
        **asdict(step),
        "make": f"{step.make.__module__}.{step.make.__qualname__}",
        "code": hashlib.sha256(Path(inspect.getfile(step.make)).read_bytes()).hexdigest(),
        "at_once": table.at_once,
        "source": [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats],
    }
    return dict(json.loads(json.dumps(manifest, default=str)))


def _holds(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether a folder holds parts of just this step; refused when it holds anything else."""
    if not folder.exists():
        return False
    path = folder / MANIFEST
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) == manifest:
        return True
    raise Refusal(
        f"{folder} holds something else (another step, source or version of the code): "
        "give another folder, or delete this one."
    )


def _name(part: int) -> str:
    return f"part-{part:05}.parquet"


def _missing(jobs: list[Job]) -> list[Job]:
    return [job for job in jobs if not job[-1].exists()]


def _arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()


def _write_part(path: Path, tables: list[pa.Table]) -> None:
    table = pa.concat_tables(tables, promote_options="permissive")
    write_atomically(path, lambda place: pq.write_table(table, place, row_group_size=ROWS))


def _agree(folder: Path) -> None:
    """Give all parts one schema: whole numbers of one may be decimals, or nothing, in another."""
    files = parquet_files(folder)
    schemas = [pq.read_schema(file) for file in files]
    common = pa.unify_schemas(schemas, promote_options="permissive")
    for file, schema in zip(files, schemas, strict=True):
        if schema != common:
            _write_part(file, [pq.read_table(file).cast(common)])


def _refusal(title: str, missing: int, failure: BaseException) -> Refusal:
    if isinstance(failure, Refusal):
        return failure
    return Refusal(
        f"{title}: {missing} parts failed, of which one said {type(failure).__name__}: {failure}. "
        "Finished parts are kept: mend it and run the step again."
    )
