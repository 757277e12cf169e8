"""The decisions database when it is down, locked, full, read-only, foreign or older."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from ml_workflow.errors import Refusal
from ml_workflow.store import database, schema
from ml_workflow.store.database import Unavailable, connect, fault_of, migrate, open_decisions
from ml_workflow.store.decisions import Outcome, Request, read_decision, write, write_outcomes
from tests.conftest import PASSWORD
from tests.store.conftest import count, decided, request


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT", 1.0)


def test_a_database_that_is_down_gives_every_caller_one_sentence(
    tmp_path: Path, impatient: None
) -> None:
    down = connect(f"postgresql://tester:{PASSWORD}@/decisions?host={tmp_path}")
    assert "does not answer" in fault_of(down) and PASSWORD not in fault_of(down)
    for call in (
        lambda: write(down, [request("u")]),
        lambda: write_outcomes(down, [Outcome(1.0, 1.0, 1.0, "d")]),
        lambda: read_decision(down, "d"),
    ):
        with pytest.raises(Unavailable, match="does not answer"):
            call()


def test_connections_that_the_server_ended_are_replaced(postgres: Callable[[], str]) -> None:
    engine = open_decisions(postgres())
    end = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
    with sa.create_engine(engine.url, poolclass=sa.NullPool).connect() as other:
        other.execute(sa.text(f"{end} and datname = current_database()"))
    write(engine, [request("u")])
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
            write(engine, [request("u")])
        assert "is locked by another program" in fault_of(engine)
        connection.rollback()
    assert (fault_of(engine), count(engine)) == ("", 0)
    engine.dispose()


def test_a_full_sqlite_keeps_what_it_has_and_none_of_what_does_not_fit(tmp_path: Path) -> None:
    engine = open_decisions(f"sqlite:///{tmp_path}/d.db")
    write(engine, [request("first")])
    large = Request([decided(row={"text": "x" * 500_000})])

    @sa.event.listens_for(engine, "begin")
    def limit(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # beyond those that are there

    with pytest.raises(Unavailable, match="is full: make room"):
        write(engine, [request("small"), large])
    assert "is full: make room" in fault_of(engine) and count(engine) == 1
    write(engine, [request("small")])
    assert count(engine) == 2


def test_a_read_only_postgresql_is_told(postgres: Callable[[], str]) -> None:
    engine = open_decisions(postgres())
    with engine.begin() as connection:
        name = engine.url.database
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    engine.dispose()
    assert "is read-only" in fault_of(engine)


def test_a_user_without_rights_is_told_which_are_missing(postgres: Callable[[], str]) -> None:
    url = postgres()
    with connect(url).begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
        connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(Unavailable, match="does not let this user do that"):
        open_decisions(url.replace("//tester:", "//guest:"))


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("d.db", "is no SQLite database"), ("d.db/d.db", "check that its folder exists")],
)
def test_a_file_that_is_no_database_is_told_and_left_as_it_is(
    tmp_path: Path, path: str, sentence: str
) -> None:
    (tmp_path / "d.db").write_text("accounts of 2019\n" * 100)
    with pytest.raises(Unavailable, match=sentence):
        open_decisions(f"sqlite:///{tmp_path}/{path}")
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


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("accounts AS SELECT 1 AS id", "has no tables of this program"),
        ("alembic_version AS SELECT 'v99' AS version_num", "v99, which this program does not know"),
    ],
)
def test_tables_of_another_program_are_left_alone(url: str, table: str, sentence: str) -> None:
    other = connect(url)
    with database.writing(other) as connection:
        connection.exec_driver_sql(f"CREATE TABLE {table}")
    for reach in (lambda: open_decisions(url), lambda: migrate(other)):
        with pytest.raises(Refusal, match=sentence):
            reach()
    assert sa.inspect(other).get_table_names() == [table.split()[0]]
    other.dispose()


def test_many_that_find_an_empty_database_make_it_once(url: str) -> None:
    with ThreadPoolExecutor(8) as pool:  # each with connections of its own, as processes have
        engines = list(pool.map(open_decisions, [url] * 8))
    assert {fault_of(engine) for engine in engines} == {""}
    assert count(engines[0], schema.requests) == 0, "the question leaves nothing"
    for engine in engines:
        engine.dispose()


def test_an_older_database_is_told_and_migrated_with_its_rows(engine: sa.Engine, url: str) -> None:
    write(engine, [request("u")])
    with database.writing(engine) as connection:
        for step in (
            "DROP INDEX ix_decisions_time",
            "DROP INDEX ix_outcomes_decision",
            "CREATE INDEX ix_outcomes_decision ON outcomes (decision)",
            "UPDATE alembic_version SET version_num = 'v1'",
        ):
            connection.exec_driver_sql(step)
    with pytest.raises(Unavailable, match=r"migration v1.* needs v2: run `ml-workflow experiment"):
        open_decisions(url)
    migrate(engine)
    assert (fault_of(engine), count(engine)) == ("", 1)
    with engine.connect() as connection:
        compared = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=compared)
        assert compare_metadata(context, schema.metadata) == [], "what the program declares"
