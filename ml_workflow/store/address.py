"""Addresses of databases: secrets that stay in the environment, and what is wrong in a sentence."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pandas as pd

from ..errors import Refusal

if TYPE_CHECKING:
    from sqlalchemy import Connection


@contextmanager
def connected(uri: str) -> "Iterator[Connection]":
    """A connection to the database at a URL, whose ${NAME} are taken from the environment; what the database refuses ends in a sentence without secrets."""
    import sqlalchemy as sa  # here: a release keeps this module and reads no database

    try:
        engine = sa.create_engine(revealed(uri))
    except ModuleNotFoundError as error:
        raise Refusal(
            f"The database {uri} needs the package {error.name}: install it, then run again."
        ) from None
    except (sa.exc.SQLAlchemyError, ValueError):  # which may quote the password
        raise Refusal(
            f"The source {uri} is no database URL: write dialect://user:password@host/name, special characters as %40."
        ) from None
    try:
        with engine.connect() as connection:
            yield connection
    except (sa.exc.SQLAlchemyError, pd.errors.DatabaseError) as error:
        raise Refusal(
            hidden(
                f"The database {uri} did not answer the query: {first_line(error)}",
                uri,
                engine.url.password,
            )
        ) from None
    finally:
        engine.dispose()


def is_database(uri: str) -> bool:
    """Whether the address is a database URL, written out or kept in the environment as ${NAME}."""
    return "://" in uri or ("${" in uri and "://" in revealed(uri))


def revealed(uri: str) -> str:
    """The text with each ${NAME} replaced from the environment."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise Refusal(
                f"{uri} needs the environment variable {match[1]}: set it, then run again."
            )
        return os.environ[match[1]]

    return re.sub(r"\$\{(\w+)\}", value, uri)


def hidden(text: str, uri: str, password: str | None = None) -> str:
    """The text without the password and any secret that the uri takes from the environment."""
    text = text.replace(password or "\0", "***")
    for name in re.findall(r"\$\{(\w+)\}", uri):
        text = text.replace(os.environ.get(name, "\0"), f"${{{name}}}")
    return text


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
