"""What a worker and its child processes say to each other: length-prefixed MessagePack over a socket pair. Never a
pickle."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Final

import msgspec

from longshore.core.message import Edits, Finished, Start, Value

_LENGTH: Final = struct.Struct("<I")
_PIECE: Final = 1 << 16


class Frame(msgspec.Struct, tag=True):
    """The root of what crosses the socket."""


class Prepare(Frame):
    """To the child, once: what it needs to execute routines."""

    path: list[str]
    modules: list[str]
    store: dict[str, str | None]
    inline_limit: int
    project: str
    log_level: int
    log_json: bool


class Execute(Frame):
    """To the child: run this attempt."""

    start: Start
    span: str


class Cancel(Frame):
    """To the child: the attempt under way is canceled; its code may notice before it is killed."""


class Prepared(Frame):
    """From the child: it is ready, or why it never will be."""

    problem: str = ""


class Said(Frame):
    """From the child: progress."""

    fraction: float
    text: str


class Alive(Frame):
    """From the child: a sign of life."""


class Edited(Frame):
    """From the child: what its code changes of metadata."""

    edits: list[Edits]


class Kept(Frame):
    """From the child: a checkpoint."""

    value: Value


class Ended(Frame):
    """From the child: the attempt is over."""

    report: Finished


_decoder: Final = msgspec.msgpack.Decoder(Prepare | Execute | Cancel | Prepared | Said | Alive | Edited | Kept | Ended)
_encoder: Final = msgspec.msgpack.Encoder()


class Pipe:
    """One end of the socket pair. Several threads may send; one reads."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._sending = threading.Lock()

    def send(self, frame: Frame) -> None:
        """Blocks until it is handed to the kernel. Raises OSError when the other side is gone."""
        body = _encoder.encode(frame)
        with self._sending:
            self._end.sendall(_LENGTH.pack(len(body)) + body)

    def receive(self) -> Frame | None:
        """The next frame; None when the other side is gone."""
        head = self._exactly(_LENGTH.size)
        body = self._exactly(*_LENGTH.unpack(head)) if head is not None else None
        return None if body is None else _decoder.decode(body)

    def wait_at_most(self, seconds: float | None) -> None:
        """How long `receive` waits; then it answers as if the other side were gone."""
        self._end.settimeout(seconds)

    def close(self) -> None:
        """Twice is harmless."""
        self._end.close()

    def _exactly(self, size: int) -> bytes | None:
        pieces = bytearray()
        while len(pieces) < size:
            try:
                piece = self._end.recv(min(size - len(pieces), _PIECE))
            except OSError:
                return None
            if not piece:
                return None
            pieces += piece
        return bytes(pieces)
