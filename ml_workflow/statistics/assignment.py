"""Which unit gets which arm: a hash decides, so that no state is needed and every machine agrees."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from .checks import Floats

BITS = 53  # as many as a float holds exactly


def uniforms(salt: str, units: Iterable[object]) -> Floats:
    """`uniform` of many units, shape (units,); about a million a second."""
    salted = _salted(salt)
    return np.fromiter((_number(salted, unit) for unit in units), dtype=np.float64)


def assign(
    units: Iterable[object],
    *,
    inclusion_salt: str,
    arm_salt: str,
    inclusion: float,
    weights: Mapping[str, float],
) -> NDArray[np.object_]:
    """The arm of each unit, shape (units,), or None for those not included.

    Ramp by raising inclusion: weights stay, so nobody moves. Equal salts, which would tie the arm to the
    inclusion, raise ValueError.
    """
    if inclusion_salt == arm_salt:
        raise ValueError(
            f"Both salts are {arm_salt!r}; inclusion and arm need a salt each to be independent."
        )
    listed = list(units)
    arms = _arms(uniforms(arm_salt, listed), weights)
    arms[uniforms(inclusion_salt, listed) >= _share(inclusion)] = None
    return arms


def check_weights(weights: Mapping[str, float]) -> Mapping[str, float]:
    """Return weights if they are two or more positive shares that add up to 1; else raise ValueError."""
    shares = list(weights.values())
    if len(shares) < 2 or not all(share > 0 for share in shares) or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(
            f"The weights are {dict(weights)}; they must be two or more shares above 0 that add up to 1."
        )
    return weights


def _arms(numbers: Floats, weights: Mapping[str, float]) -> NDArray[np.object_]:
    """The arm of each number in [0, 1), in the order of weights."""
    check_weights(weights)
    names = np.array(list(weights), dtype=object)
    edges = np.cumsum(list(weights.values()))[:-1]
    return names[np.searchsorted(edges, numbers, side="right")]


def _salted(salt: str) -> bytes:
    """The bytes before the unit; the first colon ends the salt, so no two pairs share a text."""
    if not salt or ":" in salt:
        raise ValueError(f"The salt is {salt!r}; it must be a text without a colon, and not empty.")
    return f"{salt}:".encode()


def _number(salted: bytes, unit: object) -> float:
    """The number of one unit after its salt."""
    if isinstance(unit, bool) or not isinstance(unit, (str, Integral)):
        raise ValueError(
            f"The unit {unit!r} is a {type(unit).__name__}; units must be text or whole numbers, because "
            "7 and 7.0 would get different arms."
        )
    digest = sha256(salted + str(unit).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - BITS)) / 2**BITS


def _share(inclusion: float) -> float:
    """Return inclusion if it is a share; else raise ValueError."""
    if not 0 <= inclusion <= 1:
        raise ValueError(f"inclusion is {inclusion}; it must be a share between 0 and 1.")
    return float(inclusion)
