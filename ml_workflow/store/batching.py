"""What waits at the same time is done together, by one thread; nothing waits when that is idle."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

from .database import Unavailable

LARGEST = 500
"""Items that are done together."""
Work = Callable[[Sequence[Any]], list[Any]]
"""Takes any number of items and answers each by itself."""


class Call(NamedTuple):
    """Items that wait, what is done with them, and where their answers go."""

    work: Work
    items: Sequence[Any]
    answers: "Future[list[Any]]"


class Batcher:
    """A queue and a thread: while one batch of calls is done, the next gathers."""

    def __init__(self) -> None:
        self.waiting: deque[Call] = deque()
        self.thread = ThreadPoolExecutor(1, "batcher")

    def __call__(self, work: Work, items: Sequence[Any]) -> "Future[list[Any]]":
        """The answers to these items, or what `work` raises for them."""
        call = Call(work, items, Future())
        call.answers.set_running_or_notify_cancel()  # it is done even if nobody waits any more
        self.waiting.append(call)
        try:
            self.thread.submit(self._work)
        except RuntimeError:  # closed
            raise Unavailable(
                "The service is ending: ask again, and another process answers."
            ) from None
        return call.answers

    def close(self) -> None:
        """Do all that waits, then end."""
        self.thread.shutdown()

    def _work(self) -> None:
        """Do the first call and those behind it that can be done with it."""
        if not self.waiting:  # an earlier batch took this one's call along
            return
        batch = [self.waiting.popleft()]
        size = len(batch[0].items)
        while self.waiting and self.waiting[0].work == batch[0].work:
            size += len(self.waiting[0].items)
            if size > LARGEST:
                break
            batch.append(self.waiting.popleft())
        _answer(batch)


def _answer(batch: list[Call]) -> None:
    """Answer each call, or tell it its own exception: one that fails spoils no other."""
    try:
        answers = iter(batch[0].work([item for call in batch for item in call.items]))
    except Exception as error:
        alone = len(batch) > 1 and not isinstance(error, Unavailable)  # which all would meet
        for call in batch:
            if alone:
                _answer([call])
            else:
                call.answers.set_exception(error)
        return
    for call in batch:
        call.answers.set_result(list(islice(answers, len(call.items))))
