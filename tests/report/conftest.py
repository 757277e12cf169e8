"""The browser that listens, as the tests of whole pages have it."""

from tests.whole.conftest import opened

__all__ = ["opened"]
