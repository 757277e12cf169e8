"""Processes that execute the parts of a sweep: of this machine, or of a Dask cluster."""

import atexit
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from ..data.processes import dask_client, end_with_parent
from .kernels import Kernels, kernels

PRELOADED = ["ml_workflow.run.sweep", "papermill", "nbconvert.exporters"]
"""What worker processes need: imported once, where they are forked."""
Submit = Callable[..., "Future[Any]"]
"""Takes a function and its arguments, as `Executor.submit` does."""


@contextmanager
def workers(jobs: int, scheduler: str) -> Iterator[Submit]:
    """What submits a job: to so many processes with one warm parent, or to a Dask scheduler."""
    if scheduler:
        with dask_client(scheduler) as client:
            yield client.get_executor(pure=False).submit
        return
    with kernels() as pool:
        processes = Processes(jobs, pool)
        try:
            yield processes.submit
        except BaseException:
            for child in multiprocessing.active_children():
                child.kill()
            raise
        finally:
            processes.executor.shutdown(cancel_futures=True)


class Processes:
    """Processes of this machine; when one has died, new ones take the jobs that come."""

    def __init__(self, jobs: int, pool: Kernels) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()
        shared = pool.directory, pool.warm
        self.new = partial(ProcessPoolExecutor, jobs, context, begin, shared)
        self.executor = self.new()

    def submit(self, *job: Any) -> "Future[Any]":
        """Call a function with its arguments in one of the processes."""
        try:
            return self.executor.submit(*job)
        except BrokenProcessPool:
            self.executor = self.new()
            return self.executor.submit(*job)


_own: Kernels | None = None


def begin(directory: Path, warm: bool) -> None:
    """Set up a worker: it uses the sweep's kernels, leaves Ctrl-C to the sweep, ends with it."""
    global _own
    _own = Kernels(directory, warm)
    end_with_parent()


def own_kernels() -> Kernels:
    """The kernels of this process: those of its sweep, or, on a cluster, its own until it ends."""
    global _own
    if _own is None:
        stack = ExitStack()
        atexit.register(stack.close)
        _own = stack.enter_context(kernels())
    return _own
