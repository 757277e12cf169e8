"""Addresses of databases: secrets stay where they are."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from ml_workflow.errors import Refusal
from ml_workflow.store.address import connection_to, is_database, without_secrets


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database; its address in the environment as SECRET_URL, its folder as SECRET_PLACE."""
    place = tmp_path / "hunter2-place"
    place.mkdir()
    with closing(sqlite3.connect(place / "d.db")) as connection:
        connection.executescript("create table t (a int); insert into t values (1), (2)")
    monkeypatch.setenv("SECRET_WORD", "hunter2")
    monkeypatch.setenv("SECRET_PLACE", str(place))
    monkeypatch.setenv("SECRET_URL", f"sqlite:///{place}/d.db")


def answer(uri: str, query: str) -> list[int]:
    with connection_to(uri) as connection:
        return list(connection.scalars(sa.text(query)))


@pytest.mark.parametrize("uri", ["${SECRET_URL}", "sqlite:///${SECRET_PLACE}/d.db"])
def test_a_secret_address_opens_the_database(uri: str, secrets: None) -> None:
    assert is_database(uri) and answer(uri, "select a from t order by a") == [1, 2]


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("${SECRET_URL}", "did not answer the query"),
        ("sqlite:///${SECRET_PLACE}/d.db", "did not answer the query"),
        ("sqlite:///${SECRET_PLACE}/none/d.db", "did not answer the query"),
        ("${SECRET_PLACE}", "is no database URL"),
        ("${SECRET_WORD}://x", "is no database URL"),
        ("sqlite://u:${SECRET_WORD}@h:port/x", "is no database URL"),
    ],
)
def test_a_refusal_does_not_give_the_secret_away(uri: str, sentence: str, secrets: None) -> None:
    with pytest.raises(Refusal, match=sentence) as refused:
        answer(uri, "select * from nowhere")
    assert uri in str(refused.value) and "hunter2" not in str(refused.value)


def test_what_a_database_says_is_shown_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_URL", "x://hunter2")
    shown = without_secrets("no hunter3 at x://hunter2", "${SECRET_URL}", "hunter3")
    assert shown == "no *** at ${SECRET_URL}"
