"""Committing in groups: what waits is written in one transaction, and then each is answered."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa

from .database import Unavailable, writing
from .decisions import Decision, Exposure, Request, write_decisions, write_exposures

MOST = 500
"""Jobs in one transaction."""


class Job(NamedTuple):
    """Exposures or a request that wait to be written."""

    what: Request | Sequence[Exposure]
    future: "Future[Any]"


class Committer:
    """One thread that writes for all threads of a process.

    A future is done after the commit of what it stands for. It raises Conflict for a key used with
    another body, Unavailable when the database fails.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.waiting: deque[Job] = deque()
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="committer")

    def keep(self, request: Request) -> "Future[list[Decision]]":
        """The decisions that stand in the database for the request."""
        return self._put(request)

    def expose(self, exposures: Sequence[Exposure]) -> "Future[list[Exposure]]":
        """The exposures that stand in the database for those given."""
        return self._put(exposures)

    def close(self) -> None:
        """Write all that waits, then end."""
        self.writer.shutdown()

    def _put(self, what: Request | Sequence[Exposure]) -> "Future[Any]":
        job = Job(what, Future())
        job.future.set_running_or_notify_cancel()  # it is written even if nobody waits any more
        self.waiting.append(job)
        try:
            self.writer.submit(self._commit_waiting)
        except RuntimeError:  # closed
            raise Unavailable(
                "The service is ending: ask again, and another process answers."
            ) from None
        return job.future

    def _commit_waiting(self) -> None:
        count = min(len(self.waiting), MOST)  # an earlier call may have taken this one's job along
        if jobs := [self.waiting.popleft() for _ in range(count)]:
            self._commit(jobs)

    def _commit(self, jobs: list[Job]) -> None:
        """Write the jobs; if one cannot be written, each by itself, so that only it fails."""
        try:
            answers = write(self.engine, [job.what for job in jobs])
        except Exception as error:
            if len(jobs) > 1 and not isinstance(error, Unavailable):
                for job in jobs:
                    self._commit([job])
                return
            answers = [error] * len(jobs)
        for job, answer in zip(jobs, answers, strict=True):
            if isinstance(answer, Exception):
                job.future.set_exception(answer)
            else:
                job.future.set_result(answer)


def write(engine: sa.Engine, parts: Sequence[Request | Sequence[Exposure]]) -> list[Any]:
    """The answers to requests and lists of exposures, all written in one transaction.

    To a request the decisions that stand for it or its Conflict, to exposures those that stand.
    """
    requests = [part for part in parts if isinstance(part, Request)]
    exposures = [part for part in parts if not isinstance(part, Request)]
    with writing(engine) as connection:
        stored = iter(write_exposures(connection, [one for part in exposures for one in part]))
        answers = iter(write_decisions(connection, requests) if requests else [])
    return [
        next(answers) if isinstance(part, Request) else list(islice(stored, len(part)))
        for part in parts
    ]
