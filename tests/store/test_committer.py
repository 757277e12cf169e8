"""Writing in groups: what is answered is there, once, whatever happens to the writer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from ml_workflow.store import schema
from ml_workflow.store.committer import Committer, write
from ml_workflow.store.database import Unavailable, connect, writing
from ml_workflow.store.decisions import Exposure, Request, read_decision
from ml_workflow.store.experiments import Experiment, add_experiment
from tests.conftest import ROOT
from tests.store.conftest import count, decided, request
from tests.store.test_decisions import at_once


def test_a_group_is_answered_after_its_commit(engine: sa.Engine) -> None:
    add_experiment(engine, Experiment("e", "credit", "in", "arm", [], {}))
    committer = Committer(engine)

    def client(number: int) -> None:
        for i in range(30):
            name = f"{number}-{i}"
            (exposed,) = committer.expose([Exposure("e", name, "new", "new", 1, 1.0)]).result(20)
            (kept,) = committer.keep(request(exposed.unit, key=name)).result(20)
            assert read_decision(engine, kept.id).unit == exposed.unit

    at_once(client)
    committer.close()
    assert (count(engine), count(engine, schema.exposures)) == (240, 240)


def test_a_decision_that_cannot_be_written_fails_alone(engine: sa.Engine) -> None:
    committer = Committer(engine)
    scores = [0.5, 0.5, float("nan"), 0.5]
    with writing(engine):  # the committer waits, so that all come into one group on SQLite
        futures = [committer.keep(Request([decided(score=score)])) for score in scores]
    committer.close()
    assert [future.exception() is None for future in futures] == [True, True, False, True]
    assert count(engine) == 3


def test_what_a_database_that_is_down_does_not_take_is_told_to_each(tmp_path: Path) -> None:
    committer = Committer(connect(f"postgresql://a:b@/decisions?host={tmp_path}"))
    futures = [committer.keep(request("u")) for _ in range(5)]
    committer.close()
    assert {type(future.exception()) for future in futures} == {Unavailable}
    with pytest.raises(Unavailable, match="is ending"):
        committer.keep(request("u"))


WRITER = """
import sys, threading
from ml_workflow.store.committer import Committer
from ml_workflow.store.database import open_decisions
from tests.store.conftest import request
committer, lock = Committer(open_decisions(sys.argv[1])), threading.Lock()
def client(number):
    for i in range(1_000_000):
        key = f"{sys.argv[2]}-{number}-{i}"
        (kept,) = committer.keep(request("u", key=key)).result()
        with lock:
            print(key, kept.id, flush=True)
for number in range(7):
    threading.Thread(target=client, args=(number,)).start()
client(7)
"""


def answers_until_killed(url: str, life: str, path: Path) -> dict[str, str]:
    """The ids that a process answered before it was killed, by the keys of the requests."""
    with path.open("w") as file:
        command = [sys.executable, "-c", WRITER, url, life]
        writer = subprocess.Popen(command, cwd=ROOT, stdout=file)
        end = time.monotonic() + 60
        while os.path.getsize(path) < 4000 and time.monotonic() < end:
            time.sleep(0.1)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    whole, _, _ = path.read_text().rpartition("\n")
    return dict(line.split() for line in whole.splitlines())


def test_every_answered_decision_is_there_once_after_the_writer_is_killed(
    engine: sa.Engine, url: str, tmp_path: Path
) -> None:
    answered: dict[str, str] = {}
    for life in ("0", "1"):
        answered |= answers_until_killed(url, life, tmp_path / life)
    assert len(answered) > 100
    with engine.connect() as connection:
        query = sa.select(schema.decisions.c.request, schema.decisions.c.id)
        rows = [row._tuple() for row in connection.execute(query)]
    assert len(dict(rows)) == len(rows) == count(engine, schema.requests), (
        "a request is written with its decision or not at all, and once"
    )
    assert answered.items() <= dict(rows).items()
    unsure = next(iter(answered))
    ((again,),) = write(engine, [request("u", key=unsure)])
    assert again.id == answered[unsure]
