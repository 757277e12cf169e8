"""Committing in groups: what waits is written in one transaction, and only then is each caller answered."""

from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, cast

import sqlalchemy as sa

from .database import Unavailable, writing
from .decisions import Conflict, Decision, Exposure, Request, expose_in, keep_in

MOST = 500  # jobs in one transaction


class Job(NamedTuple):
    """Exposures or a request that wait to be written."""

    what: Request | Sequence[Exposure]
    future: "Future[Any]"


class Committer:
    """One thread that writes for all threads of a process; a future is done after the commit of what it stands for.

    A future raises Conflict for a key used with another body, Unavailable when the database fails.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.waiting: SimpleQueue[Job | None] = SimpleQueue()
        self.thread = Thread(target=self._run, name="committer", daemon=True)
        self.thread.start()

    def keep(self, request: Request) -> "Future[list[Decision]]":
        """The decisions that stand in the database for the request."""
        return self._put(request)

    def expose(self, asked: Sequence[Exposure]) -> "Future[list[Exposure]]":
        """The exposures that stand in the database for those asked."""
        return self._put(asked)

    def close(self) -> None:
        """Write all that waits, then end."""
        self.waiting.put(None)
        self.thread.join()

    def _put(self, what: Request | Sequence[Exposure]) -> "Future[Any]":
        if not self.thread.is_alive():
            raise Unavailable("The service is ending: ask again, and another process answers.")
        job = Job(what, Future())
        job.future.set_running_or_notify_cancel()  # from here on it is written, even if nobody waits any more
        self.waiting.put(job)
        return job.future

    def _run(self) -> None:
        while (first := self.waiting.get()) is not None:
            jobs, goes_on = gather(self.waiting, first)
            self._commit(jobs)
            if not goes_on:
                return

    def _commit(self, jobs: list[Job]) -> None:
        """Write the jobs; when one of them cannot be written as it is, each by itself, so that only it fails."""
        try:
            answers = write(self.engine, [job.what for job in jobs])
        except Exception as error:
            if len(jobs) > 1 and not isinstance(error, Unavailable):
                for job in jobs:
                    self._commit([job])
            else:
                for job in jobs:
                    job.future.set_exception(error)
        else:
            for job, answer in zip(jobs, answers, strict=True):
                job.future.set_exception(answer) if isinstance(
                    answer, Conflict
                ) else job.future.set_result(answer)


def gather(waiting: "SimpleQueue[Job | None]", first: Job) -> tuple[list[Job], bool]:
    """The first job with those that wait behind it, and whether more may come."""
    jobs = [first]
    while len(jobs) < MOST:
        try:
            job = waiting.get_nowait()
        except Empty:
            break
        if job is None:
            return jobs, False
        jobs.append(job)
    return jobs, True


def write(engine: sa.Engine, parts: Sequence[Request | Sequence[Exposure]]) -> list[Any]:
    """The answers to requests and lists of exposures, all written in one transaction."""
    asked = [one for part in parts if not isinstance(part, Request) for one in part]
    with writing(engine) as connection:
        exposed = iter(expose_in(connection, asked) if asked else [])
        kept = iter(
            keep_in(connection, requests)
            if (requests := [part for part in parts if isinstance(part, Request)])
            else []
        )
    return [
        next(kept)
        if isinstance(part, Request)
        else [next(exposed) for _ in cast(Sequence[Exposure], part)]
        for part in parts
    ]
