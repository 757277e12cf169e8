"""Decisions, exposures and outcomes on SQLite and on a real PostgreSQL."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import sqlalchemy as sa

from ml_workflow.store import schema
from ml_workflow.store.decisions import (
    Conflict,
    Exposure,
    Outcome,
    OutcomeCounts,
    Request,
    write,
    write_outcomes,
)
from tests.store.conftest import count, decided, exposed, request


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """What each of eight threads gives."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, range(8)))


def test_the_same_key_gives_the_stored_answer_and_another_body_a_conflict(
    engine: sa.Engine,
) -> None:
    first, again = request("u", "v", key="k"), request("u", "v", key="k")
    other = request("w", key="k", body="other")
    for group in ([first, again, other], [again, other]):  # within a group, and of an earlier one
        *answers, conflict, (new,) = write(engine, [*group, request("x")])
        assert all(answer == list(first.decisions) for answer in answers) and new.unit == "x"
        assert isinstance(conflict, Conflict) and "another body" in str(conflict)
    assert count(engine) == 4


def test_eight_clients_with_the_same_keys_write_each_once(engine: sa.Engine) -> None:
    def client(number: int) -> list[tuple[str, str]]:
        keys = [str(key) for key in random.Random(number).sample(range(60), 50)]
        group = write(engine, [request(key, key=key) for key in keys])
        return [(key, decision.id) for key, (decision,) in zip(keys, group, strict=True)]

    answers = {answer for answers in at_once(client) for answer in answers}
    assert len(answers) == count(engine) == count(engine, schema.requests) == 60


def test_eight_clients_posting_the_same_outcomes_shuffled_give_one_table(engine: sa.Engine) -> None:
    known = [decided(f"u{i}") for i in range(100)]
    write(engine, [Request(known)])
    names = [{"decision": one.id} for one in known[:80]] + [
        {"unit": one.unit} for one in known[80:]
    ]
    names += [{"decision": f"no{i}"} for i in range(20)]
    posted = [Outcome(1.0, 20.0, 30.0, **name) for name in names]

    def client(number: int) -> OutcomeCounts:
        return write_outcomes(engine, random.Random(number).sample(posted, len(posted)))

    assert np.sum(at_once(client), axis=0).tolist() == [100, 7 * 120, 20, 0]
    with engine.connect() as connection:
        found = list(connection.scalars(sa.select(schema.outcomes.c.decision)))
    assert sorted(found) == sorted(one.id for one in known) and count(engine, schema.strays) == 20


def test_a_stray_is_adopted_when_its_decision_appears(engine: sa.Engine) -> None:
    first, second, third = (decided(time=time) for time in (10.0, 20.0, 30.0))
    outcomes = [Outcome(5.0, 5.0, 40.0, third.id), Outcome(6.0, 25.0, 40.0, unit="u")]
    outcomes += [Outcome(7.0, 9.0, 40.0, unit="u")]
    assert write_outcomes(engine, outcomes) == OutcomeCounts(0, 0, 3, 0)
    write(engine, [Request([first, second, third])])
    with engine.connect() as connection:
        rows = connection.execute(sa.select(*schema.outcomes.c["value", "decision"])).all()
    assert {tuple(row) for row in rows} == {(5.0, third.id), (6.0, second.id)}, (
        "by unit it is the last decision before the event; the event before all stays apart"
    )
    assert count(engine, schema.strays) == 1
    assert write_outcomes(engine, outcomes) == OutcomeCounts(0, 3, 0, 0)


def test_an_outcome_key_used_for_another_value_is_told(engine: sa.Engine) -> None:
    one = decided()
    write(engine, [Request([one])])

    def post(*contents: tuple[float, float]) -> OutcomeCounts:
        outcomes = [Outcome(value, 20.0, now, one.id, None, "k") for value, now in contents]
        return write_outcomes(engine, outcomes)

    assert post((1.0, 30.0), (2.0, 30.0)) == OutcomeCounts(1, 0, 0, 1)
    assert post((2.0, 30.0), (1.0, 31.0)) == OutcomeCounts(0, 1, 0, 1)


def test_a_unit_stays_in_the_arm_of_its_first_exposure(engine: sa.Engine) -> None:
    units = [str(unit) for unit in range(50)]
    exposed(engine)

    def client(number: int) -> list[Exposure]:
        mine = random.Random(number).sample(units, 50)
        return sorted(write(engine, exposed(engine, *mine, arm=f"arm{number}")))

    first, *others = at_once(client)
    assert others == [first] * 7 and count(engine, schema.exposures) == 50
    assert sorted(write(engine, exposed(engine, *units, arm="other"))) == first
