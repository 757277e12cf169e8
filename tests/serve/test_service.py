"""`ml-workflow serve` as processes: under load and through kills it has every decision that it answered in the database once, and it switches versions."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import psutil
import pytest
import sqlalchemy as sa

from ml_workflow.model.registry import promote, register, rollback
from ml_workflow.model.release import contents, digest_of
from ml_workflow.store.database import connect
from ml_workflow.store.schema import decisions, outcomes, strays
from tests.serve.conftest import Home, home_of
from tests.store.test_decisions import at_once


class Service(NamedTuple):
    """A service that runs: its first process, how many answer, its port and its database."""

    process: psutil.Process
    count: int
    port: int
    url: str

    def workers(self) -> list[psutil.Process]:
        """The processes that answer: one alone has no other beside it."""
        return [
            child for child in self.process.children() if "spawn_main" in " ".join(child.cmdline())
        ] or [self.process]

    def kept(self, *columns: Any) -> list[Any]:
        """These columns of every row of their table."""
        engine = connect(self.url)
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(sa.select(*columns))]
        engine.dispose()
        return found


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def served(home: Home, url: str, port: int, workers: int = 2) -> Iterator[Service]:
    """`ml-workflow serve` as a process group of its own, once every worker answers; in the end it is killed."""
    log = home.folder / f"{port}.log"
    with log.open("ab") as file:
        words = [
            sys.executable,
            "-m",
            "ml_workflow.cli",
            "serve",
            "penguins",
            "--port",
            str(port),
            "--workers",
            str(workers),
        ]
        process = subprocess.Popen(
            words,
            cwd=home.folder,
            env=home.env | {"ML_WORKFLOW_DATABASE": url},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    service = Service(psutil.Process(process.pid), workers, port, url)
    try:
        until = time.time() + 120
        while not lines(service):
            assert process.poll() is None and time.time() < until, log.read_text()[-2000:]
            time.sleep(0.2)
        yield service
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def lines(service: Service) -> list[HTTPConnection]:
    """A connection to each worker, or nothing while not all of them answer."""
    found: dict[int, HTTPConnection] = {}
    for _ in range(50):
        line = HTTPConnection("127.0.0.1", service.port, timeout=20)
        try:
            asked(line, "GET", "/health")
        except OSError:
            return []
        own = line.sock.getsockname()
        found |= {
            worker.pid: line
            for worker in service.workers()
            if own in [c.raddr for c in worker.net_connections("tcp")]
        }
        if len(found) == service.count:
            return list(found.values())
    return []


def asked(line: HTTPConnection, method: str, path: str, body: Any = None, key: str = "") -> Any:
    """The answer, which must be 200; raises OSError or HTTPException where there is none."""
    line.request(
        method, path, json.dumps(body), {"content-type": "application/json", "idempotency-key": key}
    )
    answer = line.getresponse()
    content = answer.read()
    assert answer.status == 200, (answer.status, content)
    return json.loads(content)


class Load:
    """Clients that ask for one decision after the other, each with a key of its own; where no answer comes they ask again."""

    def __init__(self, port: int, row: dict[str, Any], clients: int = 4) -> None:
        self.port, self.row, self.going = port, row, True
        self.answered: dict[str, dict[str, Any]] = {}  # by key
        self.broken = 0
        self.refused: list[AssertionError] = []
        self.threads = [
            Thread(target=self._client, args=(number,), daemon=True) for number in range(clients)
        ]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Ask no more; what was asked is answered."""
        self.going = False
        for thread in self.threads:
            thread.join(60)

    def _client(self, number: int) -> None:
        line, turn = HTTPConnection("127.0.0.1", self.port, timeout=20), 0
        while self.going:
            key = f"{number}-{turn}"
            try:
                self.answered[key] = asked(
                    line, "POST", "/decide", {"unit": key, "row": self.row}, key
                )
                turn += 1
            except (OSError, HTTPException):
                self.broken += 1
                line.close()
                time.sleep(0.05)
            except AssertionError as error:
                self.refused.append(error)
                turn += 1


def once_each(service: Service, load: Load) -> None:
    """Every answered decision is in the database, and no request is there twice."""
    load.stop()
    kept = service.kept(decisions.c.request, decisions.c.id)
    assert load.broken and load.refused == []
    assert len(kept) == len(dict(kept)) == len({identity for _, identity in kept})
    assert {(key, answer["id"]) for key, answer in load.answered.items()} <= set(kept)


def test_a_service_killed_under_load_loses_no_answered_decision(
    home: Home, row: dict[str, Any], tmp_path: Path
) -> None:
    with served(home, f"sqlite:///{tmp_path}/decisions.db", free_port(), workers=1) as service:
        load = Load(service.port, row)
        time.sleep(2)
        service.process.kill()
    assert len(load.answered) > 20
    once_each(service, load)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty decisions database of each kind."""
    return (
        f"sqlite:///{tmp_path}/decisions.db"
        if request.param == "sqlite"
        else str(request.getfixturevalue("postgres")())
    )


@pytest.mark.prove
def test_thirty_seconds_of_load_through_kills_keep_each_answered_decision_once(
    home: Home, url: str, row: dict[str, Any]
) -> None:
    port = free_port()
    with served(home, url, port) as service:
        load = Load(port, row)
        time.sleep(10)
        service.workers()[0].kill()
        time.sleep(10)
        os.killpg(service.process.pid, signal.SIGKILL)
    before = len(load.answered)
    with served(home, url, port):
        time.sleep(10)
        load.stop()
    assert before > 200 and len(load.answered) > before + 100
    once_each(service, load)


@pytest.mark.prove
def test_outcomes_posted_twice_shuffled_and_by_eight_clients_at_once_are_kept_once(
    home: Home, url: str, row: dict[str, Any]
) -> None:
    with served(home, url, free_port()) as service:
        line = lines(service)[0]
        made = asked(line, "POST", "/decide", [{"unit": f"u{i}", "row": row} for i in range(200)])
        moment = {"event_time": "2100-01-01"}
        known = [
            ({"decision": d["id"]} if i % 2 else {"unit": d["unit"]}) | {"value": i} | moment
            for i, d in enumerate(made)
        ]
        unknown = [{"unit": f"nobody {i}", "value": i} | moment for i in range(50)]

        def client(number: int) -> list[dict[str, int]]:
            posted = (known + unknown) * 2
            random.Random(number).shuffle(posted)
            own = HTTPConnection("127.0.0.1", service.port, timeout=60)
            return [
                asked(own, "POST", "/outcomes", posted[start : start + 50])
                for start in range(0, len(posted), 50)
            ]

        counts = [count for counts in at_once(client) for count in counts]
        assert sorted(service.kept(outcomes.c.decision, outcomes.c.value)) == sorted(
            (d["id"], float(i)) for i, d in enumerate(made)
        )
        assert sorted(service.kept(strays.c.unit, strays.c.value)) == sorted(
            (f"nobody {i}", float(i)) for i in range(50)
        )
    assert [sum(count[name] for count in counts) for name in ("new", "stray", "conflict")] == [
        200,
        50,
        0,
    ]


@pytest.fixture
def versions(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A project with two versions of the release, the first of them champion."""
    home, release = home_of(finished, "penguins", tmp_path), finished / "files" / "release"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", home.env["MLFLOW_TRACKING_URI"])
    register("penguins", release, digest_of(contents(release)), {}, {}, {"run": "again"})
    return home


def switches(service: Service) -> list[float]:
    """Seconds until every worker answers with the version promoted, and with the old one after a rollback."""
    to_each, taken = lines(service), []
    for change, number in (
        (lambda: promote("penguins", "2"), "2"),
        (lambda: rollback("penguins"), "1"),
    ):
        change()
        began = time.time()
        while {asked(line, "GET", "/version")["version"] for line in to_each} != {number}:
            assert time.time() - began < 60
            time.sleep(0.05)
        taken.append(time.time() - began)
    return taken


def test_a_version_is_promoted_and_rolled_back_within_two_seconds(versions: Home) -> None:
    with served(versions, versions.env["ML_WORKFLOW_DATABASE"], free_port(), workers=1) as service:
        assert max(switches(service)) < 2


@pytest.mark.prove
def test_every_worker_switches_within_two_seconds_and_within_ten_under_load_and_no_request_fails(
    versions: Home, row: dict[str, Any]
) -> None:
    with served(versions, versions.env["ML_WORKFLOW_DATABASE"], free_port()) as service:
        assert max(switches(service)) < 2
        load = Load(service.port, row, clients=8)
        taken = [seconds for _ in range(3) for seconds in switches(service)]
        load.stop()
    assert max(taken) < 10
    assert len(load.answered) > 100 and load.broken == 0 and load.refused == []
    assert {answer["version"] for answer in load.answered.values()} == {"1", "2"}
