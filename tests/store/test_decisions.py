"""Decisions, exposures and outcomes on SQLite and on a real PostgreSQL."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ml_workflow.errors import Refusal
from ml_workflow.store import schema
from ml_workflow.store.committer import write
from ml_workflow.store.database import new_decisions
from ml_workflow.store.decisions import (
    Conflict,
    Exposure,
    Outcome,
    OutcomeCounts,
    Request,
    read_decision,
    write_outcomes,
)
from ml_workflow.store.experiments import Experiment, add_experiment
from tests.store.conftest import count, decided, request


def at_once(work: Callable[[int], Any], clients: int = 8) -> list[Any]:
    """What each of several threads gives, all begun together."""
    gate = threading.Barrier(clients)

    def begun(client: int) -> Any:
        gate.wait()
        return work(client)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(begun, range(clients)))


def test_a_decision_comes_back_as_it_was_written(engine: sa.Engine) -> None:
    asked = decided(propensity=0.25, fallback=True)
    write(engine, [Request([asked], "k", "body")])
    assert read_decision(engine, asked.id) == asked
    with pytest.raises(Refusal, match="No decision 'other'"):
        read_decision(engine, "other")


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
    def client(number: int) -> dict[str, str]:
        answers: dict[str, str] = {}
        for _ in range(6):
            keys = [str(key) for key in random.Random(number).sample(range(60), 10)]
            group = write(engine, [request(key, key=key) for key in keys])
            answers |= {key: decision.id for key, (decision,) in zip(keys, group, strict=True)}
        return answers

    answers = at_once(client)
    ids = {key: {answer[key] for answer in answers if key in answer} for key in answers[0]}
    assert all(len(same) == 1 for same in ids.values())
    assert count(engine) == count(engine, schema.requests)


def test_eight_clients_posting_the_same_outcomes_shuffled_give_one_table(engine: sa.Engine) -> None:
    known = [decided(f"u{i}") for i in range(100)]
    write(engine, [Request(known)])
    posted = [Outcome(float(i), 20.0, 30.0, decision=d.id) for i, d in enumerate(known[:80])]
    posted += [Outcome(1.0, 20.0, 30.0, unit=d.unit) for d in known[80:]]
    posted += [Outcome(1.0, 20.0, 30.0, decision=f"no{i}") for i in range(20)]

    def client(number: int) -> list[OutcomeCounts]:
        mine = random.Random(number).sample(posted, len(posted))
        return [write_outcomes(engine, mine[i : i + 40]) for i in range(0, len(mine), 40)]

    counts = [counts for answers in at_once(client) for counts in answers]
    assert [sum(column) for column in zip(*counts, strict=True)] == [100, 7 * 120, 20, 0]
    with engine.connect() as connection:
        rows = connection.execute(sa.select(schema.outcomes.c.decision, schema.outcomes.c.value))
        values = {decision: value for decision, value in rows}
    assert values == {d.id: float(i) if i < 80 else 1.0 for i, d in enumerate(known)}
    assert (count(engine, schema.outcomes), count(engine, schema.strays)) == (100, 20)


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


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(float("nan"), 1.0, 1.0, "d"),
        Outcome(float("inf"), 1.0, 1.0, "d"),
        Outcome(1.0, 1.0, 1.0),
    ],
)
def test_an_outcome_without_a_finite_value_or_a_name_is_refused_whole(
    tmp_path: Path, outcome: Outcome
) -> None:
    engine = new_decisions(tmp_path / "d.db")
    with pytest.raises(Refusal, match="give"):
        write_outcomes(engine, [Outcome(1.0, 1.0, 1.0, "d"), outcome])
    assert count(engine, schema.strays) == 0


def test_a_unit_stays_in_the_arm_of_its_first_exposure(engine: sa.Engine) -> None:
    add_experiment(engine, Experiment("e", "credit", "in", "arm", [], {}))

    def client(number: int) -> list[Exposure]:
        units = random.Random(number).sample(range(50), 50)
        group = [Exposure("e", str(u), f"arm{number}", "current", 1, 1.0) for u in units]
        return sorted(write(engine, [group])[0])

    answers = at_once(client)
    assert all(answer == answers[0] for answer in answers)
    assert count(engine, schema.exposures) == 50
    moved = [one._replace(arm_assigned="other", phase=2) for one in answers[0]]
    assert write(engine, [moved]) == [answers[0]]
