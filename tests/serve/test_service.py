"""`ml-workflow serve` as processes: no answered decision is lost, and versions switch at once."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import psutil
import pytest

from ml_workflow.model.registry import promote, rollback
from ml_workflow.serve.rows import Row
from tests.conftest import wait_until, within
from tests.serve.conftest import Home, home_of, register_run


class Service(NamedTuple):
    """A service that runs: its first process, how many answer, and its port."""

    process: psutil.Process
    count: int
    port: int

    def workers(self) -> list[psutil.Process]:
        """The processes that answer: one alone has no other beside it."""
        spawned = [p for p in self.process.children() if "spawn_main" in " ".join(p.cmdline())]
        return spawned or [self.process]

    def connections(self) -> list[HTTPConnection]:
        """A connection to each worker, or nothing while not all of them answer."""
        found: dict[int, HTTPConnection] = {}
        for _ in range(50):
            connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                ask(connection, "GET", "/health")
            except OSError:
                return []
            own = connection.sock.getsockname()
            for worker in self.workers():
                if own in [other.raddr for other in worker.net_connections("tcp")]:
                    found[worker.pid] = connection
            if len(found) == self.count:
                return list(found.values())
        return []


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def served(home: Home, url: str, port: int, workers: int) -> Iterator[Service]:
    """`ml-workflow serve` as a process group of its own, killed in the end."""
    log = home.folder / f"{port}.log"
    command = [sys.executable, "-m", "ml_workflow.cli", "serve", "penguins"]
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--workers", str(workers)],
            cwd=home.folder,
            env=home.env | {"ML_WORKFLOW_DATABASE": url},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    service = Service(psutil.Process(process.pid), workers, port)
    try:
        assert wait_until(service.connections, 120), log.read_text()[-2000:]
        yield service
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(connection: HTTPConnection, method: str, path: str, body: Any = None, key: str = "") -> Any:
    """The answer, which must be 200; raises OSError or HTTPException where there is none."""
    headers = {"content-type": "application/json", "idempotency-key": key}
    connection.request(method, path, json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, (answer.status, content)
    return json.loads(content)


@dataclass
class Load:
    """Clients that ask for one decision after the other; where no answer comes they ask again."""

    port: int
    row: Row
    going: bool = True
    broken: int = 0
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def client(self, name: int) -> None:
        """Ask until the load ends."""
        connection, turn = HTTPConnection("127.0.0.1", self.port, timeout=20), 0
        while self.going:
            key = f"{name}-{turn}"
            item = {"unit": key, "row": self.row}
            try:
                self.answers[key] = ask(connection, "POST", "/decide", item, key)
                turn += 1
            except (OSError, HTTPException):
                self.broken += 1
                connection.close()
                time.sleep(0.05)


@contextmanager
def load_on(port: int, row: Row, clients: int = 4) -> Iterator[Load]:
    """A load meanwhile; no request may be refused."""
    load = Load(port, row)
    with ThreadPoolExecutor(clients) as pool:
        done = pool.map(load.client, range(clients))
        try:
            yield load
        finally:
            load.going = False
    assert list(done) == [None] * clients


@pytest.mark.parametrize(
    ("workers", "services", "seconds"), [(1, 1, 2), pytest.param(2, 2, 10, marks=pytest.mark.prove)]
)
def test_services_killed_under_load_keep_each_answered_decision_once(
    home: Home, row: Row, url: str, workers: int, services: int, seconds: int
) -> None:
    port = free_port()
    with load_on(port, row) as load:
        for _ in range(services):
            before = len(load.answers)
            with served(home, url, port, workers) as service:
                time.sleep(seconds)
                service.workers()[0].kill()
                time.sleep(seconds * (workers - 1))
            assert len(load.answers) > before + 10 * seconds
    stored = pd.read_sql_table("decisions", url)
    assert load.broken and stored["id"].is_unique and stored["request"].is_unique
    answered = {key: answer["id"] for key, answer in load.answers.items()}
    assert answered.items() <= dict(zip(stored["request"], stored["id"], strict=True)).items()


@pytest.fixture
def versions(runs: dict[str, Path], tmp_path: Path) -> Iterator[Home]:
    """A project with two versions of the release, the first of them champion."""
    home = home_of(runs["penguins"], "penguins", tmp_path)
    home.live.close()
    with within(home.folder, home.env):
        register_run(home.run, "penguins")
        yield home


def slowest_switch(service: Service) -> float:
    """Seconds until every worker answers with the version promoted, and with the old one again."""
    connections, seconds = service.connections(), []
    for change, number in (
        (partial(promote, "penguins", "2"), "2"),
        (partial(rollback, "penguins"), "1"),
    ):
        change()
        began = time.time()
        while {ask(one, "GET", "/version")["version"] for one in connections} != {number}:
            assert time.time() - began < 60
            time.sleep(0.05)
        seconds.append(time.time() - began)
    return max(seconds)


@pytest.mark.parametrize(
    ("workers", "answers"), [(1, 20), pytest.param(2, 100, marks=pytest.mark.prove)]
)
def test_every_worker_switches_within_two_seconds_and_under_load_no_request_fails(
    versions: Home, row: Row, workers: int, answers: int
) -> None:
    url = versions.env["ML_WORKFLOW_DATABASE"]
    with served(versions, url, free_port(), workers) as service:
        assert slowest_switch(service) < 2
        with load_on(service.port, row, clients=8) as load:
            assert max(slowest_switch(service) for _ in range(2 * workers - 1)) < 10
    assert len(load.answers) > answers and load.broken == 0
    assert {answer["version"] for answer in load.answers.values()} == {"1", "2"}
