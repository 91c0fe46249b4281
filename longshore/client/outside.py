"""What a client brings to a waiting workflow: signals, and values for tokens, as they travel. It sends nothing."""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec

from longshore.core.errors import UsageError
from longshore.core.ids import RunId
from longshore.core.message import CompleteToken, Signal
from longshore.payloads import AsyncCargo
from longshore.serialization.values import encode

_ID_BYTES: Final = 16


class Completion(msgspec.Struct, frozen=True):
    """What came of completing a token: `completed`, or why nothing was done. True only if the workflow is told."""

    run_id: str
    completed: bool
    text: str

    def __bool__(self) -> bool:
        return self.completed


async def signal_of(cargo: AsyncCargo, run_id: RunId, name: str, value: Any, reply_to: str) -> Signal:
    """The signal as it travels. Raises EncodingError, and PayloadUnavailable when a large value cannot be stowed."""
    if not isinstance(name, str):
        raise UsageError(f"signal {name!r}: a signal is named by a text")
    signal_id = os.urandom(_ID_BYTES).hex()  # however often it is sent, it is one signal
    travelling = b"" if value is None else await cargo.stow(encode(value), f"inputs/{signal_id}")
    return Signal(run_id, name, travelling, signal_id, reply_to=reply_to)


async def completion_of(
    cargo: AsyncCargo, token: str, value: Any, error: str | BaseException | None, reply_to: str
) -> CompleteToken:
    """The completion as it travels. Raises as `signal_of`, and UsageError for a value beside an error."""
    if not isinstance(token, str):
        raise UsageError(f"token {token!r}: a token is a text, as context.create_token() gave it")
    if error is not None:
        if value is not None:
            raise UsageError("a token is completed with a value or with an error, not with both")
        return CompleteToken(token, error=str(error), reply_to=reply_to)
    key = f"inputs/{os.urandom(_ID_BYTES).hex()}"
    travelling = b"" if value is None else await cargo.stow(encode(value), key)
    return CompleteToken(token, travelling, reply_to=reply_to)
