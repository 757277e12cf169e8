"""Writing in groups: each gets its own answer, and one that fails spoils no other."""

from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from ml_workflow.store import schema
from ml_workflow.store.batching import Batcher
from ml_workflow.store.database import Unavailable, connect, writing
from ml_workflow.store.decisions import Request, read_decision, write
from tests.store.conftest import count, decided, exposed, request


def test_a_decision_that_cannot_be_written_fails_alone(engine: sa.Engine) -> None:
    batcher, work, expected = Batcher(), partial(write, engine), exposed(engine, "u", "v")
    scores = [0.5, float("nan"), 0.5]
    with writing(engine):  # the batcher waits, so that all come into one group on SQLite
        futures = [
            batcher(work, [Request([decided(score=score, propensity=0.25)])]) for score in scores
        ]
        exposures = batcher(work, expected)
    ((kept,),) = futures[0].result()
    assert read_decision(engine, kept.id) == kept and exposures.result() == expected
    assert [future.exception() is None for future in futures] == [True, False, True]
    assert (count(engine), count(engine, schema.exposures)) == (2, 2)


def test_what_a_database_that_is_down_does_not_take_is_told_to_each(tmp_path: Path) -> None:
    batcher = Batcher()
    work = partial(write, connect(f"postgresql://a:b@/decisions?host={tmp_path}"))
    futures = [batcher(work, [request("u")]) for _ in range(5)]
    batcher.close()
    assert {type(future.exception()) for future in futures} == {Unavailable}
    with pytest.raises(Unavailable, match="is ending"):
        batcher(work, [request("u")])
