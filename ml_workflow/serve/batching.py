"""Requests that wait at the same time are computed together; none waits when idle."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

LARGEST = 500
"""Rows that are computed together."""
Compute = Callable[[Sequence[Any]], list[Any]]
"""Takes any number of rows and answers each by itself."""


class Call(NamedTuple):
    """Rows that wait, what computes them, and where their answers go."""

    compute: Compute
    rows: Sequence[Any]
    answers: "Future[list[Any]]"


class Batcher:
    """A queue and a thread: while one batch of calls is computed, the next gathers."""

    def __init__(self) -> None:
        self.waiting: deque[Call] = deque()
        self.thread = ThreadPoolExecutor(1, "rows")

    async def __call__(self, compute: Compute, rows: Sequence[Any]) -> list[Any]:
        """The answers to these rows; raises what `compute` raises for them."""
        call = Call(compute, rows, Future())
        call.answers.set_running_or_notify_cancel()  # it is computed even if the caller goes
        self.waiting.append(call)
        self.thread.submit(self._compute_waiting)
        return await asyncio.wrap_future(call.answers)

    def _compute_waiting(self) -> None:
        """Compute the first call and those behind it that can be computed with it."""
        if not self.waiting:  # an earlier batch took this one's call along
            return
        batch = [self.waiting.popleft()]
        size = len(batch[0].rows)
        while self.waiting and self.waiting[0].compute == batch[0].compute:
            size += len(self.waiting[0].rows)
            if size > LARGEST:
                break
            batch.append(self.waiting.popleft())
        _compute(batch)


def _compute(batch: list[Call]) -> None:
    """Answer each call, or tell it its own exception: one that fails spoils no other."""
    try:
        answers = iter(batch[0].compute([row for call in batch for row in call.rows]))
    except Exception as error:
        if len(batch) == 1:
            return batch[0].answers.set_exception(error)
        for call in batch:
            _compute([call])
        return
    for call in batch:
        call.answers.set_result(list(islice(answers, len(call.rows))))
