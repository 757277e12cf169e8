"""Requests that wait at the same time are computed together, so that many cost little more than one; none waits when idle."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

LARGEST = 500


class Waiting(NamedTuple):
    """Rows that wait, what computes them, and where their answers go."""

    compute: Callable[[Sequence[Any]], list[Any]]
    rows: Sequence[Any]
    answers: "asyncio.Future[list[Any]]"


class Groups:
    """A queue and a thread: while a group is computed, the next gathers."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.thread = ThreadPoolExecutor(1, "rows")
        self.busy = False

    async def __call__(
        self, compute: Callable[[Sequence[Any]], list[Any]], rows: Sequence[Any]
    ) -> list[Any]:
        """The answers to these rows, by a function that takes any number of rows and answers each by itself."""
        answers = asyncio.get_running_loop().create_future()
        self.waiting.append(Waiting(compute, rows, answers))
        self._next()
        return list(await answers)

    def _next(self) -> None:
        if self.busy or not self.waiting:
            return
        first, size = self.waiting[0], 0
        group: list[Waiting] = []
        while (
            self.waiting
            and self.waiting[0].compute == first.compute
            and (not group or size + len(self.waiting[0].rows) <= LARGEST)
        ):
            group.append(self.waiting.pop(0))
            size += len(group[-1].rows)
        self.busy = True
        loop = asyncio.get_running_loop()

        def told(done: "Future[list[Any]]") -> None:
            try:
                loop.call_soon_threadsafe(self._answer, group, done.result())
            except RuntimeError:  # the loop has ended, and its callers with it
                self.busy = False

        self.thread.submit(_computed, group).add_done_callback(told)

    def _answer(self, group: list[Waiting], results: list[Any]) -> None:
        self.busy = False
        self._next()
        for waiting, result in zip(group, results, strict=True):
            if waiting.answers.done():  # the caller has gone
                continue
            if isinstance(result, Exception):
                waiting.answers.set_exception(result)
            else:
                waiting.answers.set_result(result)


def _computed(group: list[Waiting]) -> list[Any]:
    """The answers of each in a group, or its own exception: one that fails spoils no other."""
    try:
        together = iter(group[0].compute([row for waiting in group for row in waiting.rows]))
        return [[next(together) for _ in waiting.rows] for waiting in group]
    except Exception as error:
        if len(group) == 1:
            return [error]
        return [result for waiting in group for result in _computed([waiting])]
