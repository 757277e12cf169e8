"""`ml-workflow serve` as processes: no answered decision is lost, and versions switch at once."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import psutil
import pytest
import sqlalchemy as sa

from ml_workflow.model.registry import promote, rollback
from ml_workflow.serve.rows import Row
from ml_workflow.store.database import connect
from ml_workflow.store.schema import decisions
from tests.serve.conftest import Home, home_of, project, register_run


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
def served(home: Home, url: str, port: int, workers: int = 2) -> Iterator[Service]:
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
        until = time.time() + 120
        while not service.connections():
            assert process.poll() is None and time.time() < until, log.read_text()[-2000:]
            time.sleep(0.2)
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


class Load:
    """Clients that ask for one decision after the other; where no answer comes they ask again."""

    def __init__(self, port: int, row: Row, clients: int = 4) -> None:
        self.port, self.row, self.going = port, row, True
        self.answers: dict[str, dict[str, Any]] = {}
        self.broken = 0
        self.refused: list[AssertionError] = []
        work = [partial(self._client, str(number)) for number in range(clients)]
        self.threads = [Thread(target=client, daemon=True) for client in work]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Ask no more; what is under way is answered."""
        self.going = False
        for thread in self.threads:
            thread.join(60)

    def _client(self, name: str) -> None:
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
            except AssertionError as error:
                self.refused.append(error)
                turn += 1


def once_each(url: str, load: Load) -> None:
    """Every answered decision is in the database, and no request is there twice."""
    load.stop()
    engine = connect(url)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(decisions.c.request, decisions.c.id)).all()
    engine.dispose()
    stored = {(row.request, row.id) for row in rows}
    assert load.broken and load.refused == []
    assert len(rows) == len({request for request, _ in stored}) == len({id for _, id in stored})
    assert {(key, answer["id"]) for key, answer in load.answers.items()} <= stored


def test_a_service_killed_under_load_loses_no_answered_decision(
    home: Home, row: Row, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/decisions.db"
    with served(home, url, free_port(), workers=1) as service:
        load = Load(service.port, row)
        time.sleep(2)
        service.process.kill()
    assert len(load.answers) > 20
    once_each(url, load)


@pytest.mark.prove
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_thirty_seconds_of_load_through_kills_keep_each_answered_decision_once(
    home: Home, kind: str, row: Row, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url, port = f"sqlite:///{tmp_path}/decisions.db", free_port()
    if kind == "postgresql":
        url = request.getfixturevalue("postgres")()
    with served(home, url, port) as service:
        load = Load(port, row)
        time.sleep(10)
        service.workers()[0].kill()
        time.sleep(10)
        os.killpg(service.process.pid, signal.SIGKILL)
    before = len(load.answers)
    with served(home, url, port):
        time.sleep(10)
        load.stop()
    assert before > 200 and len(load.answers) > before + 100
    once_each(url, load)


@pytest.fixture
def versions(runs: dict[str, Path], tmp_path: Path) -> Iterator[Home]:
    """A project with two versions of the release, the first of them champion."""
    home = home_of(runs["penguins"], "penguins", tmp_path)
    home.live.close()
    with project(home.folder, home.env):
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


def test_a_version_is_promoted_and_rolled_back_within_two_seconds(versions: Home) -> None:
    with served(versions, versions.env["ML_WORKFLOW_DATABASE"], free_port(), workers=1) as service:
        assert slowest_switch(service) < 2


@pytest.mark.prove
def test_every_worker_switches_within_two_seconds_and_under_load_no_request_fails(
    versions: Home, row: Row
) -> None:
    with served(versions, versions.env["ML_WORKFLOW_DATABASE"], free_port()) as service:
        assert slowest_switch(service) < 2
        load = Load(service.port, row, clients=8)
        slowest = max(slowest_switch(service) for _ in range(3))
        load.stop()
    assert slowest < 10 and len(load.answers) > 100
    assert load.broken == 0 and load.refused == []
    assert {answer["version"] for answer in load.answers.values()} == {"1", "2"}
