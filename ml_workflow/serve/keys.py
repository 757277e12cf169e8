"""API keys from the environment, their scopes, and how they are compared."""

import hashlib
import hmac
import re
from dataclasses import dataclass

from ..errors import Refusal

SCOPES = ("predict", "outcomes", "admin")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Key:
    """Who may do what; of the key itself only its SHA-256 is held."""

    name: str
    scopes: frozenset[str]
    digest: bytes


def keys_from(text: str) -> list[Key]:
    """The keys of ML_WORKFLOW_KEYS: `name:scope+scope:key`, several with spaces between.

    Refused without saying a key.
    """
    found = []
    for i, entry in enumerate(text.split()):
        name, scopes, key = (*entry.split(":", 2), "", "")[:3]
        wrong = sorted(set(scopes.split("+")) - set(SCOPES))
        if not re.fullmatch(r"[\w.-]+", name) or wrong or len(key) < 16:
            raise Refusal(
                f"ML_WORKFLOW_KEYS, entry {i + 1}: write name:scope+scope:key with scopes of "
                f"{', '.join(SCOPES)} and a key of at least 16 characters."
            )
        found.append(Key(name, frozenset(scopes.split("+")), _digest(key)))
    return found


def check_open(keys: list[Key], host: str) -> None:
    """Refuse to serve others than this machine without keys."""
    if not keys and host not in LOOPBACK:
        raise Refusal(
            f"Without keys the API serves this machine only, not {host}: "
            "set ML_WORKFLOW_KEYS to name:scope+scope:key, or bind to 127.0.0.1."
        )


def bearer(keys: list[Key], header: str) -> Key | None:
    """The key that an Authorization header bears, compared with every one in constant time."""
    kind, _, given = header.partition(" ")
    digest, found = _digest(given.strip()), None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found if kind.lower() == "bearer" else None


def allowed(key: Key, scope: str) -> bool:
    """Whether a key may do this; admin may do all."""
    return bool({scope, "admin"} & key.scopes)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
