"""The claim check: small values travel inline, large ones lie in the store and only their key, size and digest travel.

It never hands out a value whose bytes do not have the digest of the claim check.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from longshore.core.errors import DecodeError, PayloadCorrupt
from longshore.core.message import ClaimCheck, Value
from longshore.payloads.store import Buffer, PayloadStore, Reader, wrong_size
from longshore.serialization.values import Encoded, decode, decode_stream

T = TypeVar("T")

INLINE_LIMIT: Final = 65536
_PIECE: Final = 1 << 20
_PROBE: Final = 64


class Cargo:
    """Values on their way through one store. Synchronous; safe to use from several threads."""

    def __init__(self, store: PayloadStore, inline_limit: int = INLINE_LIMIT) -> None:
        self.store = store
        self.inline_limit = inline_limit

    def stow(self, encoded: Encoded, key_prefix: str) -> Value:
        """The encoded value inline, or uploaded under a key of its own below `key_prefix`, as its claim check.

        Raises PayloadUnavailable when the store does not answer.
        """
        if encoded.size <= self.inline_limit:
            return encoded.inline()
        return self.upload(encoded, f"{key_prefix}/{secrets.token_hex(16)}")

    def upload(self, encoded: Encoded, key: str) -> ClaimCheck:
        """The encoded value uploaded under exactly this key, whatever its size."""
        digest = hashlib.sha256()
        self.store.put(key, _hashed(encoded.chunks(), digest.update), encoded.size)
        return ClaimCheck(key=key, size=encoded.size, sha256=digest.hexdigest())

    def load(self, value: Value) -> Any:
        """The value itself. Raises DecodeError, PayloadCorrupt (missing, or other bytes) or PayloadUnavailable."""
        return self.read(value, decode_stream) if isinstance(value, ClaimCheck) else decode(value)

    def read(self, check: ClaimCheck, decoder: Callable[[Reader, int], T]) -> T:
        """What the decoder makes of the object; the digest is verified before it is handed out."""
        with self.store.open(check.key) as reader:
            if reader.size != check.size:
                raise wrong_size(check.key, check.size, reader.size)
            hashing = _HashingReader(reader)
            try:
                value = decoder(hashing, check.size)
            except DecodeError:
                hashing.verify(check)  # wrong bytes are the cause worth telling
                raise
            hashing.verify(check)
            return value


class _HashingReader:
    """Hashes what is read through it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._digest = hashlib.sha256()
        self.size = reader.size

    def read(self, size: int, /) -> bytes:
        piece = self._reader.read(size)
        self._digest.update(piece)
        return piece

    def readinto(self, buffer: memoryview, /) -> int:
        count = self._reader.readinto(buffer)
        self._digest.update(buffer[:count])
        return count

    def verify(self, check: ClaimCheck) -> None:
        """Read what is left and compare. Raises PayloadCorrupt."""
        while self.read(_PIECE):
            pass
        found = self._digest.hexdigest()
        if found != check.sha256:
            raise PayloadCorrupt(f"payload {check.key!r} should have sha256 {check.sha256}, found {found}")


def _hashed(chunks: Iterable[Buffer], update: Callable[[Buffer], None]) -> Iterator[Buffer]:
    for chunk in chunks:
        update(chunk)
        yield chunk


# ------------------------------------------------------------------------------------------------------ probe


def write_probe(store: PayloadStore, name: str) -> ClaimCheck:
    """Write a small object that others can read back, to see that the store is the same for all."""
    content = secrets.token_bytes(_PROBE)
    key = f"probes/{name}"
    store.put(key, [content], _PROBE)
    return ClaimCheck(key=key, size=_PROBE, sha256=hashlib.sha256(content).hexdigest())


def read_probe(store: PayloadStore, check: ClaimCheck) -> None:
    """Read a probe somebody else wrote. Raises PayloadCorrupt when it is not there or differs, PayloadUnavailable."""
    if check.size != _PROBE or not check.key.startswith("probes/"):
        raise PayloadCorrupt(f"payload {check.key!r} is no probe object")
    Cargo(store).read(check, _drop)


def _drop(reader: Reader, size: int) -> None:
    """A decoder that wants nothing: the verification reads it all."""


# ------------------------------------------------------------------------------------------------------ async


class AsyncCargo:
    """The same for a coroutine: what reaches for the store runs in a few threads of its own. Close it."""

    def __init__(self, cargo: Cargo, *, threads: int = 4) -> None:
        self.cargo = cargo
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="payloads")

    async def stow(self, encoded: Encoded, key_prefix: str) -> Value:
        """As Cargo.stow; a small value needs no thread."""
        if encoded.size <= self.cargo.inline_limit:
            return encoded.inline()
        return await self._run(self.cargo.stow, encoded, key_prefix)

    async def upload(self, encoded: Encoded, key: str) -> ClaimCheck:
        """As Cargo.upload."""
        return await self._run(self.cargo.upload, encoded, key)

    async def load(self, value: Value) -> Any:
        """As Cargo.load; an inline value needs no thread."""
        return await self._run(self.cargo.load, value) if isinstance(value, ClaimCheck) else decode(value)

    async def write_probe(self, name: str) -> ClaimCheck:
        """As write_probe."""
        return await self._run(write_probe, self.cargo.store, name)

    async def read_probe(self, check: ClaimCheck) -> None:
        """As read_probe."""
        await self._run(read_probe, self.cargo.store, check)

    async def close(self) -> None:
        """Wait for what is under way (bounded by the store's own timeouts) and end the threads. Twice is harmless."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    async def _run(self, call: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *args)
