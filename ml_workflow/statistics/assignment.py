"""Which unit gets which arm: a hash decides, so that no state is needed and machines agree."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from .checks import Floats

BITS = 53  # as many as a float holds exactly


def uniforms(salt: str, units: Iterable[object]) -> Floats:
    """A number in [0, 1) of each unit after its salt, shape (units,); about a million a second.

    The first colon ends the salt, so no two pairs share a text. Raises ValueError for a salt that
    is empty or has a colon, and for units that are neither text nor whole numbers.
    """
    if not salt or ":" in salt:
        raise ValueError(f"The salt is {salt!r}; it must be a text without a colon, and not empty.")
    prefix = f"{salt}:".encode()
    return np.fromiter((_number(prefix, unit) for unit in units), dtype=np.float64)


def assign(
    units: Iterable[object],
    *,
    inclusion_salt: str,
    arm_salt: str,
    inclusion: float,
    weights: Mapping[str, float],
) -> NDArray[np.object_]:
    """The arm of each unit, shape (units,), or None for those not included.

    weights holds each arm's share. Ramp by raising inclusion: weights stay, so nobody moves.
    The salts differ, else the arm would be tied to the inclusion; shares add up to 1.
    """
    listed, names = list(units), np.array(list(weights), dtype=object)
    edges = np.cumsum(list(weights.values()))[:-1]
    arms = names[np.searchsorted(edges, uniforms(arm_salt, listed), side="right")]
    arms[uniforms(inclusion_salt, listed) >= inclusion] = None
    return arms


def _number(prefix: bytes, unit: object) -> float:
    """The number of one unit."""
    if isinstance(unit, bool) or not isinstance(unit, (str, Integral)):
        raise ValueError(
            f"The unit {unit!r} is a {type(unit).__name__}; units must be text or whole numbers, "
            "because 7 and 7.0 would get different arms."
        )
    digest = sha256(prefix + str(unit).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - BITS)) / 2**BITS
