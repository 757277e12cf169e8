"""Scoring more rows than memory holds with the newest credit release, against one pandas process.

python -m benchmarks.pipeline [--rows 20000000] after `ml-workflow run credit --force`
Bars: memory under 2 GB, 1.2 times the rows a second, cost per row flat.
"""

import argparse
import multiprocessing
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from ml_workflow.data.steps import Function, Step, alike_first, run

PEER_ROWS, FILE_ROWS, GROUP_ROWS = 2_000_000, 1_000_000, 100_000


def scoring(folder: str, digest: str) -> Function:
    """The release's scores and decisions, one row a unit, as the pipeline computes them."""
    return alike_first(scores_of(folder, digest))


def scores_of(folder: str, digest: str) -> Function:
    """The release's scores and decisions, one row a unit."""
    from ml_workflow.model.release import load_release

    release = load_release(Path(folder), digest)
    unit, names = release.task.unit, release.kind.score_names

    def score(frame: pd.DataFrame) -> pd.DataFrame:
        scores = release.score(frame)
        columns = dict(zip(names, np.atleast_2d(scores.T), strict=True))
        return pd.DataFrame(
            {unit: frame[unit].to_numpy(), **columns, "decision": release.decide(frame, scores)}
        )

    return score


def features(folder: str, digest: str) -> Function:
    """The release's inputs, by the code that was released, beside the unit."""
    from ml_workflow.model.release import load_release

    release = load_release(Path(folder), digest)
    unit = release.task.unit

    def prepare(frame: pd.DataFrame) -> pd.DataFrame:
        table = release.features(frame)
        return table if unit in table else pd.concat([frame[[unit]], table], axis=1)

    return prepare


def newest_release(name: str) -> tuple[str, str]:
    """Folder and registered digest of the newest release of a task."""
    from ml_workflow.store.run import open_run, reports

    newest = open_run(max(p.parents[1].name for p in reports().glob(f"{name}-*/files/ledger.json")))
    return str(newest.files / "release"), newest.read_json("ledger.json", "04_scale")["digest"]


def make_rows(folder: Path, rows: int, source: str = "data/credit.csv.gz") -> None:
    """Customers drawn from the credit table, in files of a million rows.

    Amounts are moved by up to a tenth, keys counted up.
    """
    table = pd.read_csv(source).drop(columns="default_next_month")
    amounts = [c for c in table if str(c).startswith(("BILL", "PAY_AMT"))]
    folder.mkdir()
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        rng = np.random.default_rng(number)
        size = min(FILE_ROWS, rows - start)
        frame = table.iloc[rng.integers(0, len(table), size)].reset_index(drop=True)
        frame["customer_id"] = np.arange(start, start + size)
        frame[amounts] = np.rint(
            frame[amounts].to_numpy() * rng.uniform(0.9, 1.1, (size, len(amounts)))
        ).astype("int64")
        pq.write_table(
            pa.Table.from_pandas(frame, preserve_index=False),
            folder / f"part-{number:05}.parquet",
            row_group_size=GROUP_ROWS,
            use_dictionary=False,
            compression="none",
        )


def first_rows(source: Path, rows: int, target: Path) -> Path:
    """The first rows of the files, as a folder of links and one cut file."""
    target.mkdir()
    for file in sorted(source.glob("*.parquet")):
        if rows <= 0:
            break
        size = pq.read_metadata(file).num_rows
        if size <= rows:
            (target / file.name).hardlink_to(file)
        else:
            pq.write_table(
                pq.read_table(file).slice(0, rows), target / file.name, row_group_size=GROUP_ROWS
            )
        rows -= size
    return target


def peer(source: Path, target: Path, folder: str, digest: str) -> float:
    """Seconds of one pandas process that reads, scores at once and writes.

    Its libraries are loaded before.
    """
    score = scores_of(folder, digest)
    score(pd.read_parquet(source).head(10_000))
    began = time.perf_counter()
    score(pd.read_parquet(source)).to_parquet(target, index=False)
    return time.perf_counter() - began


def processor() -> float:
    """Processor seconds of all child processes that have ended.

    They can be compared on a shared machine too.
    """
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def memory() -> Iterator[list[int]]:
    """The proportional set sizes of this process and all below it, in bytes, once a second."""
    sums, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(1):
            total = 0
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            sums.append(total)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sums
    finally:
        stop.set()
        thread.join()


def check_room(rows: int) -> None:
    """Refuse more rows than the temporary folder has room for."""
    free, needed = shutil.disk_usage(tempfile.gettempdir()).free, rows * 250
    if free < needed:
        raise SystemExit(
            f"{rows:,} rows need {needed / 1e9:.0f} GB in {tempfile.gettempdir()}, "
            f"{free / 1e9:.0f} GB are free: give fewer --rows, or another TMPDIR."
        )


def main(rows: int) -> None:
    """Print a line for the peer and one for each number of rows."""
    release = newest_release("credit")
    check_room(rows)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        make_rows(place / "all", rows)
        size = sum(file.stat().st_size for file in (place / "all").iterdir())
        print(f"{rows:,} rows, {size / 1e9:.2f} GB of Parquet", flush=True)
        few = min(PEER_ROWS, rows)
        before = processor()
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            seconds = pool.submit(
                peer,
                first_rows(place / "all", few, place / "few"),
                place / "peer.parquet",
                *release,
            ).result()
        print(
            f"one pandas process, {few:,} rows: {seconds:.1f} s, {few / seconds:,.0f} rows/s, "
            f"{processor() - before:.1f} s of processor with its start",
            flush=True,
        )
        start = run(
            Step(scoring, release),
            first_rows(place / "all", 1_000, place / "start"),
            place / "scores-start",
        ).seconds
        print(
            f"pipeline, 1,000 rows: {start:.1f} s to start the processes and load the release",
            flush=True,
        )
        for size in [n for n in (1_000_000, 5_000_000) if n < rows] + [rows]:
            source = first_rows(place / "all", size, place / f"source-{size}")
            before = processor()
            with memory() as sums:
                done = run(Step(scoring, release), source, place / f"scores-{size}")
            pace, used = size / done.seconds, processor() - before
            print(
                f"pipeline, {size:,} rows in {done.parts} parts: {done.seconds:.1f} s, "
                f"{pace:,.0f} rows/s ({pace * seconds / few:.2f} of the process, bar 1.2), "
                f"{done.seconds / size * 1e6:.2f} µs a row, "
                f"{(done.seconds - start) / size * 1e6:.2f} after the start, "
                f"{used:.1f} s of processor, peak {max(sums) / 1e9:.2f} GB (bar 2)",
                flush=True,
            )
        compare(place / f"scores-{rows}", place / "peer.parquet")


def compare(scores: Path, peer_scores: Path) -> None:
    """Print whether the first rows of the pipeline's scores are the peer's."""
    files = sorted(scores.glob("*.parquet"))[:8]
    ours = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    theirs = pd.read_parquet(peer_scores)
    same = min(len(ours), len(theirs))
    print(f"equal on the first {same:,} rows: {ours[:same].equals(theirs[:same])}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    from benchmarks.pipeline import main as start  # so that workers import the functions by name

    start(parser.parse_args().rows)
