"""Single decisions written before their answer, by 8 clients: in groups and each by itself.

Run: python -m benchmarks.committing [URL]; without a URL on SQLite in a temporary folder.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ml_workflow.store.batching import Batcher
from ml_workflow.store.database import open_decisions
from ml_workflow.store.decisions import Decision, Request, write

CLIENTS, SECONDS = 8, 3.0
ROW = {f"PAY_{i}": 0.1 * i for i in range(23)}


def rate(write: Callable[[Request], object], name: str, clients: int) -> float:
    """Decisions a second of clients that each wait for their answer."""
    stop = time.perf_counter() + SECONDS

    def client(number: int) -> int:
        done = 0
        while time.perf_counter() < stop:
            write(
                Request(
                    [Decision(f"{number}-{done}", ROW, "1", 0.25, "act", time.time())],
                    f"{name}-{number}-{done}",
                    "body",
                )
            )
            done += 1
        return done

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(client, range(clients))) / SECONDS


def main() -> None:
    """Print the rates of one database."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_decisions(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/d.db")
        batcher, work = Batcher(), partial(write, engine)
        for clients in (1, CLIENTS):
            alone = rate(lambda request: write(engine, [request]), f"alone{clients}", clients)
            group = rate(
                lambda request: batcher(work, [request]).result(), f"group{clients}", clients
            )
            print(
                f"{engine.dialect.name}, {clients} clients: a transaction each "
                f"{alone:,.0f} rows/s, in groups {group:,.0f} rows/s, {group / alone:.1f} times"
            )
        batcher.close()
        engine.dispose()


if __name__ == "__main__":
    main()
