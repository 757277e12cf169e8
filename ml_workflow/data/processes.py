"""Processes that work for another: they end with it, or are those of a Dask cluster."""

import multiprocessing
import os
import signal
import threading
from typing import Any

from ..errors import Refusal


def end_with_parent() -> None:
    """Leave Ctrl-C to the parent of this process, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def dask_client(scheduler: str) -> Any:
    """A client of the Dask cluster at an address; a Refusal where none answers."""
    from distributed import Client

    try:
        return Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise Refusal(
            f"No Dask scheduler answers at {scheduler!r}: {error}. "
            "Start one with `dask scheduler`, or leave the scheduler out."
        ) from None
