"""Chance inside a workflow: numbers that nobody can foretell, and that are the same in every replay.

The seed is the run's id and its generation, so a retry or a next generation draws others. The generators are Python's
own Mersenne Twister, which gives the same numbers in every version; never anything for secrets.
"""

from __future__ import annotations

from hashlib import sha256
from random import Random
from uuid import UUID

from longshore.core.ids import RunId


def generator(run_id: RunId, generation: int, purpose: str) -> Random:
    """A generator of its own for each purpose: drawing from one moves no other."""
    seed = sha256(f"{purpose}\0{run_id}\0{generation}".encode()).digest()
    return Random(int.from_bytes(seed, "big"))


def uuid4(chance: Random) -> UUID:
    """The next random UUID of this generator. Source: RFC 9562, section 5.4."""
    return UUID(int=chance.getrandbits(128), version=4)
