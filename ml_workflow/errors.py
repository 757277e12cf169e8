"""What goes wrong, in a sentence each: a Refusal where a person can put it right, else a Fault."""

from collections.abc import Iterable
from difflib import get_close_matches


class Refusal(Exception):
    """What was given is wrong: one sentence says what, where and what to do. Never a traceback."""


class Fault(Exception):
    """A work failed for a reason that is no fault of what was given."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint such as " Did you mean 'folds'?", or "" when nothing is near."""
    close = get_close_matches(str(word), [str(name) for name in known], n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
