"""The decisions database when it is down, locked, full, read-only, foreign, at another migration, or its writer is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from ml_workflow.errors import Refusal
from ml_workflow.store import database, schema
from ml_workflow.store.committer import Committer, write
from ml_workflow.store.database import Unavailable, connect, fault_of, migrate, open_decisions
from ml_workflow.store.decisions import (
    Decision,
    Exposure,
    Outcome,
    Request,
    read_decision,
    write_outcomes,
)
from tests.conftest import PASSWORD

ROOT = Path(__file__).parents[2]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT", 1.0)


def asked(unit: str = "u", size: int = 1) -> Request:
    return Request([Decision(unit, {"text": "x" * size}, "1", 0.5, "act", 1.0)])


def count(engine: sa.Engine, table: sa.Table = schema.decisions) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_a_sound_database_is_ready_and_the_question_leaves_nothing(engine: sa.Engine) -> None:
    assert [fault_of(engine), fault_of(engine), count(engine, schema.requests)] == ["", "", 0]


def test_a_database_that_is_down_gives_every_caller_one_sentence(
    tmp_path: Path, impatient: None
) -> None:
    down = connect(f"postgresql://tester:{PASSWORD}@/decisions?host={tmp_path}")
    assert "does not answer" in fault_of(down) and PASSWORD not in fault_of(down)
    for call in (
        lambda: write(down, [asked()]),
        lambda: write(down, [[Exposure("e", "u", "a", "a", 1, 1.0)]]),
        lambda: write_outcomes(down, [Outcome(1.0, 1.0, 1.0, "d")]),
        lambda: read_decision(down, "d"),
    ):
        with pytest.raises(Unavailable, match="does not answer"):
            call()
    committer = Committer(down)
    futures = [committer.keep(asked()) for _ in range(5)]
    committer.close()
    assert {type(future.exception()) for future in futures} == {Unavailable}


def test_connections_that_the_server_ended_are_replaced(postgres: Callable[[], str]) -> None:
    engine = open_decisions(postgres())
    with sa.create_engine(engine.url, poolclass=sa.NullPool).connect() as other:
        other.execute(
            sa.text(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()"
            )
        )
    write(engine, [asked()])
    assert count(engine) == 1
    engine.dispose()


def test_a_locked_database_is_told_and_nothing_is_half_written(url: str, impatient: None) -> None:
    engine = open_decisions(url)
    holder = sa.create_engine(engine.url, poolclass=sa.NullPool)
    with holder.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.connection.dbapi_connection.isolation_level = None  # type: ignore[union-attr]
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("LOCK TABLE decisions, requests IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable, match="is locked by another program"):
            write(engine, [asked()])
        assert "is locked by another program" in fault_of(engine)
        connection.rollback()
    assert (fault_of(engine), count(engine)) == ("", 0)
    engine.dispose()


def test_a_full_sqlite_keeps_what_it_has_and_none_of_what_does_not_fit(tmp_path: Path) -> None:
    engine = open_decisions(f"sqlite:///{tmp_path}/d.db")
    write(engine, [asked("first")])

    @sa.event.listens_for(engine, "begin")
    def limit(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 40")

    with pytest.raises(Unavailable, match="is full: make room"):
        write(engine, [asked("small"), asked("large", 500_000)])
    assert count(engine) == 1
    write(engine, [asked("small")])
    assert count(engine) == 2
    with engine.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql(
            "PRAGMA max_page_count = 1"
        )  # SQLite takes the pages that are there
    sa.event.remove(engine, "begin", limit)
    assert "is full: make room" in fault_of(engine)


def test_a_read_only_postgresql_is_told(postgres: Callable[[], str]) -> None:
    engine = open_decisions(postgres())
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"ALTER DATABASE {engine.url.database} SET default_transaction_read_only = on"
        )
    engine.dispose()
    assert "is read-only" in fault_of(engine)
    with pytest.raises(Unavailable, match="is read-only"):
        write(engine, [asked()])


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "d.db").write_text("accounts of 2019\n" * 100)
    with pytest.raises(Unavailable, match="is no SQLite database"):
        open_decisions(f"sqlite:///{tmp_path}/d.db")
    assert (tmp_path / "d.db").read_text() == "accounts of 2019\n" * 100


@pytest.mark.parametrize("url", ["mysql://a:b@c/d", "nonsense", "sqlite://", "${NOT_SET_HERE}"])
def test_an_address_of_no_use_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(Refusal, match=r"kind 'mysql'|is no URL|needs a file|NOT_SET_HERE"):
        connect(url)


def test_the_secret_of_the_environment_stays_there(
    postgres: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DECISIONS_URL", postgres().replace(PASSWORD, "not-the-password"))
    with pytest.raises(Unavailable) as told:
        open_decisions("${DECISIONS_URL}")
    assert "not-the-password" not in str(told.value) and "tester" not in str(told.value)


def test_tables_of_another_program_are_left_alone(url: str) -> None:
    other = connect(url)
    with database.writing(other) as connection:
        connection.exec_driver_sql("CREATE TABLE accounts (id integer)")
    with pytest.raises(Unavailable, match="has no tables of this program"):
        open_decisions(url)
    with pytest.raises(Refusal, match="has no tables of this program"):
        migrate(other)
    assert sa.inspect(other).get_table_names() == ["accounts"]
    other.dispose()


def test_many_that_find_an_empty_database_make_it_once(url: str) -> None:
    with ThreadPoolExecutor(8) as pool:  # each with connections of its own, as processes have
        engines = list(pool.map(open_decisions, [url] * 8))
    assert {fault_of(engine) for engine in engines} == {""}
    for engine in engines:
        engine.dispose()


def test_a_database_of_a_newer_program_is_told(engine: sa.Engine, url: str) -> None:
    with database.writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v99'")
    assert "at the migration v99, which this program does not know" in fault_of(engine)
    with pytest.raises(Refusal, match="does not know"):
        migrate(engine)


def test_an_older_database_is_told_and_migrated_with_its_rows(
    engine: sa.Engine, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(engine, [asked()])
    steps = tmp_path / "migrations" / "versions"
    shutil.copytree(ROOT / "ml_workflow/store/migrations/versions", steps)
    newest = database.migrations().get_current_head()
    (steps / "later.py").write_text(
        f"from alembic import op\nimport sqlalchemy as sa\nrevision, down_revision = 'later', '{newest}'\n"
        "def upgrade():\n    op.add_column('decisions', sa.Column('note', sa.String()))\n"
    )
    monkeypatch.setattr(
        database, "migrations", lambda: ScriptDirectory(str(tmp_path / "migrations"))
    )
    assert (
        f"at the older migration {newest}, this program needs later: run `ml-workflow experiment migrate`"
        in fault_of(engine)
    )
    with pytest.raises(Unavailable, match="older migration"):
        open_decisions(url)
    migrate(engine)
    assert (fault_of(engine), count(engine)) == ("", 1)
    assert "note" in {column["name"] for column in sa.inspect(engine).get_columns("decisions")}


WRITER = """
import sys, threading
from ml_workflow.store.committer import Committer, write
from ml_workflow.store.decisions import Decision, Request
from ml_workflow.store.database import open_decisions
committer, lock = Committer(open_decisions(sys.argv[1])), threading.Lock()
def client(number):
    for i in range(1_000_000):
        key = f"{sys.argv[2]}-{number}-{i}"
        (kept,) = committer.keep(Request([Decision(key, {"i": i}, "1", 0.5, "act", 1.0)], key, "body")).result()
        with lock:
            print(key, kept.id, flush=True)
for number in range(7):
    threading.Thread(target=client, args=(number,)).start()
client(7)
"""


def test_every_answered_decision_is_there_once_after_the_writer_is_killed(
    engine: sa.Engine, url: str, tmp_path: Path
) -> None:
    answered: dict[str, str] = {}
    for life in range(2):
        with (tmp_path / f"answers{life}").open("w+") as answers:
            writer = subprocess.Popen(
                [sys.executable, "-c", WRITER, url, str(life)], cwd=ROOT, stdout=answers
            )
            end = time.monotonic() + 60
            while answers.tell() < 4000 and time.monotonic() < end:
                time.sleep(0.1)
                answers.seek(0, os.SEEK_END)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            answers.seek(0)
            answered |= dict(
                line.split()
                for line in answers.read().splitlines(keepends=True)
                if line.endswith("\n")
            )
    assert len(answered) > 100
    with engine.connect() as connection:
        rows = connection.execute(
            sa.select(schema.decisions.c.request, schema.decisions.c.id, schema.decisions.c.unit)
        ).all()
        whole = connection.execute(
            sa.select(sa.func.count()).select_from(schema.requests)
        ).scalar_one()
    stood = {row.request: row.id for row in rows}
    assert len(stood) == len(rows) == whole, (
        "a request is written with its decision or not at all, and once"
    )
    assert answered.items() <= stood.items()
    unsure = next(iter(answered))
    assert (
        write(engine, [Request([Decision(unsure, None, "1", 0.5, "act", 1.0)], unsure, "body")])[0][
            0
        ].id
        == answered[unsure]
    )  # type: ignore[index]


def test_a_user_without_rights_is_told_which_are_missing(postgres: Callable[[], str]) -> None:
    url = postgres()
    admin = connect(url)
    with admin.begin() as connection:
        connection.execute(sa.text(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'"))
        connection.execute(sa.text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    with pytest.raises(Unavailable, match="does not let this user do that"):
        open_decisions(url.replace("//tester:", "//guest:"))
