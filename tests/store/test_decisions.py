"""The decisions database on SQLite and on a real PostgreSQL."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ml_workflow.errors import Refusal
from ml_workflow.store import database, schema
from ml_workflow.store.committer import Committer, write
from ml_workflow.store.database import open_decisions
from ml_workflow.store.decisions import (
    Conflict,
    Decision,
    Exposure,
    Outcome,
    OutcomeCounts,
    Request,
    read_decision,
    write_outcomes,
)


def decided(unit: str, **more: Any) -> Decision:
    given: dict[str, Any] = {
        "row": {"a": 0.1 + 0.2, "b": None, "c": "x"},
        "version": "3",
        "score": [0.1, 0.9],
        "action": "act",
        "time": 10.0,
    }
    return Decision(unit, **given | more)


def count(engine: sa.Engine, table: sa.Table) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def at_once(work: Callable[[int], Any], clients: int = 8) -> list[Any]:
    """What each of several threads gives, all begun together."""
    gate = threading.Barrier(clients)

    def begun(client: int) -> Any:
        gate.wait()
        return work(client)

    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(begun, range(clients)))


def experiment(engine: sa.Engine, name: str = "e") -> None:
    row = {
        "id": name,
        "inclusion_salt": "in",
        "arm_salt": "arm",
        "phases": [{"weights": {"current": 0.5, "release": 0.5}, "inclusion": 1.0}],
        "plan": {},
    }
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(schema.experiments.insert(), row)


def test_a_decision_comes_back_as_it_was_written(engine: sa.Engine) -> None:
    asked = decided("u", propensity=0.25, fallback=True)
    write(engine, [Request([asked], "k", "body")])
    found = read_decision(engine, asked.id)
    assert vars(found) == vars(asked)
    with pytest.raises(Refusal, match="No decision 'other'"):
        read_decision(engine, "other")


def test_the_same_key_gives_the_stored_answer_and_another_body_a_conflict(
    engine: sa.Engine,
) -> None:
    one, two = (
        Request([decided("u"), decided("v")], "k", "body"),
        Request([decided("u"), decided("v")], "k", "body"),
    )
    assert write(engine, [one]) == [list(one.decisions)]
    again, other, within = write(
        engine, [two, Request([decided("w")], "k", "other"), Request([decided("x")])]
    )
    assert [d.id for d in again] == [d.id for d in one.decisions]  # type: ignore[union-attr]
    assert isinstance(other, Conflict) and "another body" in str(other)
    assert isinstance(within, list)
    assert count(engine, schema.decisions) == 3


def test_a_key_twice_in_one_group_is_written_once(engine: sa.Engine) -> None:
    answers = write(
        engine,
        [
            Request([decided("u")], "k", "body"),
            Request([decided("u")], "k", "body"),
            Request([decided("u")], "k", "other"),
        ],
    )
    assert answers[0][0].id == answers[1][0].id  # type: ignore[index]
    assert isinstance(answers[2], Conflict)
    assert count(engine, schema.decisions) == 1


def test_eight_clients_with_the_same_keys_write_each_once(engine: sa.Engine) -> None:
    def client(number: int) -> list[str]:
        keys = random.Random(number).sample(range(60), 60)
        asked = [
            [Request([decided(str(key))], str(key), "body") for key in keys[i : i + 10]]
            for i in range(0, 60, 10)
        ]
        answers = [answer for group in asked for answer in write(engine, group)]
        return [d.id for _, (d,) in sorted(zip(keys, answers, strict=True))]  # type: ignore[misc]

    answers = at_once(client)
    assert all(answer == answers[0] for answer in answers)
    assert count(engine, schema.decisions) == 60


def test_eight_clients_posting_the_same_outcomes_shuffled_give_one_table(engine: sa.Engine) -> None:
    known = [decided(f"u{i}") for i in range(100)]
    write(engine, [Request(known)])
    posted = [Outcome(float(i), 20.0, 30.0, decision=d.id) for i, d in enumerate(known[:80])]
    posted += [Outcome(1.0, 20.0, 30.0, unit=d.unit) for d in known[80:]] + [
        Outcome(1.0, 20.0, 30.0, decision=f"no{i}") for i in range(20)
    ]

    def client(number: int) -> list[OutcomeCounts]:
        mine = random.Random(number).sample(posted, len(posted))
        return [write_outcomes(engine, mine[i : i + 40]) for i in range(0, len(mine), 40)]

    counts = [count for client_counts in at_once(client) for count in client_counts]
    assert [sum(column) for column in zip(*counts, strict=True)] == [100, 7 * 120, 20, 0]
    with engine.connect() as connection:
        rows = connection.execute(
            sa.select(schema.outcomes.c.decision, schema.outcomes.c.value)
        ).all()
    assert {(d, v) for d, v in rows} == {
        (d.id, float(i) if i < 80 else 1.0) for i, d in enumerate(known)
    }
    assert (len(rows), count(engine, schema.strays)) == (100, 20)


def test_a_stray_is_adopted_when_its_decision_appears(engine: sa.Engine) -> None:
    late = decided("u")
    given = [
        Outcome(5.0, 20.0, 30.0, decision=late.id),
        Outcome(6.0, 20.0, 30.0, unit="u"),
        Outcome(7.0, 9.0, 30.0, unit="u"),
    ]
    assert write_outcomes(engine, given) == OutcomeCounts(0, 0, 3, 0)
    write(engine, [Request([late])])
    assert (count(engine, schema.outcomes), count(engine, schema.strays)) == (2, 1), (
        "the event before the decision stays apart"
    )
    assert write_outcomes(engine, given) == OutcomeCounts(0, 3, 0, 0)


def test_an_outcome_by_unit_belongs_to_the_last_decision_before_the_event(
    engine: sa.Engine,
) -> None:
    first, second, third = (decided("u", time=time) for time in (10.0, 20.0, 30.0))
    write(engine, [Request([first, second, third])])
    write_outcomes(engine, [Outcome(1.0, 25.0, 40.0, unit="u")])
    with engine.connect() as connection:
        assert connection.execute(sa.select(schema.outcomes.c.decision)).scalar_one() == second.id


def test_an_outcome_key_used_for_another_value_is_told(engine: sa.Engine) -> None:
    one = decided("u")
    write(engine, [Request([one])])
    assert write_outcomes(
        engine,
        [
            Outcome(1.0, 20.0, 30.0, one.id, idempotency_key="k"),
            Outcome(2.0, 20.0, 30.0, one.id, idempotency_key="k"),
        ],
    ) == OutcomeCounts(1, 0, 0, 1)
    assert write_outcomes(
        engine,
        [
            Outcome(2.0, 20.0, 30.0, one.id, idempotency_key="k"),
            Outcome(1.0, 20.0, 31.0, one.id, idempotency_key="k"),
        ],
    ) == OutcomeCounts(0, 1, 0, 1)


@pytest.mark.parametrize(
    "given",
    [
        Outcome(float("nan"), 1.0, 1.0, "d"),
        Outcome(float("inf"), 1.0, 1.0, "d"),
        Outcome(1.0, 1.0, 1.0),
    ],
)
def test_an_outcome_without_a_finite_value_or_a_name_is_refused_whole(
    tmp_path: Path, given: Outcome
) -> None:
    engine = open_decisions(f"sqlite:///{tmp_path}/d.db")
    with pytest.raises(Refusal, match="give"):
        write_outcomes(engine, [Outcome(1.0, 1.0, 1.0, "d"), given])
    assert count(engine, schema.strays) == 0


def test_a_unit_stays_in_the_arm_of_its_first_exposure(engine: sa.Engine) -> None:
    experiment(engine)

    def client(number: int) -> list[Exposure]:
        units = random.Random(number).sample(range(50), 50)
        return sorted(
            write(
                engine, [[Exposure("e", str(u), f"arm{number}", "current", 1, 1.0) for u in units]]
            )[0]
        )

    answers = at_once(client)
    assert all(answer == answers[0] for answer in answers)
    assert count(engine, schema.exposures) == 50
    moved = [one._replace(arm_assigned="other", phase=2) for one in answers[0]]
    assert write(engine, [moved])[0] == answers[0]


def test_both_ways_to_the_tables_give_the_same(
    url: str, tmp_path: Path, postgres: Callable[[], str]
) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = database.connect(url)
    database.migrate(engine)
    with engine.connect() as connection:
        assert (
            compare_metadata(
                MigrationContext.configure(
                    connection, opts={"compare_type": True, "compare_server_default": True}
                ),
                schema.metadata,
            )
            == []
        )
    built = open_decisions(
        f"sqlite:///{tmp_path}/built.db" if url.startswith("sqlite") else postgres()
    )
    assert described(engine) == described(built)
    assert database.fault_of(engine) == ""


def described(engine: sa.Engine) -> Any:
    """Every table with its columns, keys and indexes as the database tells them."""
    tell = sa.inspect(engine)
    return {
        table: [
            [
                (
                    c["name"],
                    str(c["type"]),
                    c["nullable"],
                    str(c["default"]),
                    str(c.get("identity")),
                )
                for c in tell.get_columns(table)
            ],
            tell.get_pk_constraint(table),
            sorted(map(str, tell.get_foreign_keys(table))),
            sorted(map(str, tell.get_unique_constraints(table))),
            sorted(map(str, tell.get_indexes(table))),
        ]
        for table in sorted(tell.get_table_names())
    }


def test_a_group_is_answered_after_its_commit(engine: sa.Engine) -> None:
    experiment(engine)
    committer = Committer(engine)

    def client(number: int) -> None:
        for i in range(30):
            (exposed,) = committer.expose(
                [Exposure("e", f"{number}-{i}", "release", "release", 1, 1.0)]
            ).result(20)
            (kept,) = committer.keep(
                Request([decided(exposed.unit)], f"{number}-{i}", "body")
            ).result(20)
            assert read_decision(engine, kept.id).unit == exposed.unit

    at_once(client)
    committer.close()
    assert (count(engine, schema.decisions), count(engine, schema.exposures)) == (240, 240)


def test_a_decision_that_cannot_be_written_fails_alone(engine: sa.Engine) -> None:
    committer = Committer(engine)
    with engine.execution_options(
        writes=True
    ).begin():  # the committer waits, so that all come into one group on SQLite
        futures = [
            committer.keep(Request([decided("u", score=float("nan") if i == 3 else 0.5)]))
            for i in range(6)
        ]
    committer.close()
    assert [future.exception() is None for future in futures] == [
        True,
        True,
        True,
        False,
        True,
        True,
    ]
    assert count(engine, schema.decisions) == 5
