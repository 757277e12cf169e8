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

SECRET = re.compile(r"\$\{(\w+)\}")


@contextmanager
def connection_to(uri: str) -> "Iterator[Connection]":
    """A connection to the database at a URL, whose ${NAME} are taken from the environment.

    Raises Refusal in a sentence without secrets: no URL, or what the database does not answer.
    """
    import sqlalchemy as sa  # here: a release is loaded without it

    place = uri if SECRET.search(uri) else "of the source"  # which may hold a password
    try:
        engine = sa.create_engine(with_secrets(uri))
    except ModuleNotFoundError as error:
        raise Refusal(
            f"The database {place} needs the package {error.name}: install it, then run again."
        ) from None
    except (sa.exc.SQLAlchemyError, ValueError):  # which may quote the password
        raise Refusal(
            f"The address {place} is no database URL: write dialect://user:password@host/name, "
            "special characters as %40."
        ) from None
    try:
        with engine.connect() as connection:
            yield connection
    except (sa.exc.SQLAlchemyError, pd.errors.DatabaseError) as error:
        fault = f"The database {place} did not answer the query: {first_line(error)}"
        raise Refusal(without_secrets(fault, uri, engine.url.password)) from None
    finally:
        engine.dispose()


def is_database(uri: str) -> bool:
    """Whether the address is a database URL, written out or kept in the environment as ${NAME}."""
    return "://" in uri or ("${" in uri and "://" in with_secrets(uri))


def with_secrets(uri: str) -> str:
    """The address with each ${NAME} replaced from the environment; Refusal for one not set."""
    for name in SECRET.findall(uri):
        if name not in os.environ:
            raise Refusal(f"{uri} needs the environment variable {name}: set it, then run again.")
    return SECRET.sub(lambda match: os.environ[match[1]], uri)


def without_secrets(text: str, uri: str, password: str | None = None) -> str:
    """The text without the password and any secret that the uri takes from the environment."""
    text = text.replace(password or "\0", "***")
    for name in SECRET.findall(uri):
        text = text.replace(os.environ.get(name, "\0"), f"${{{name}}}")
    return text


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
