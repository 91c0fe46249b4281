"""Exceptions as they travel. Encoding never raises; decoding calls no user's constructor and imports nothing."""

from __future__ import annotations

import builtins
import traceback
from collections.abc import Collection
from typing import Any, Final

from longshore.core import errors
from longshore.core.errors import DecodeError, RemoteError
from longshore.core.message import Failure
from longshore.serialization import classes
from longshore.serialization.arguments import as_arguments
from longshore.serialization.values import decode, encode_inline

MAX_TRACEBACK: Final = 16 * 1024
MAX_MESSAGE: Final = 4 * 1024
MAX_CAUSES: Final = 5
MAX_PARTS: Final = 50
"""Of an exception group with those inside it; more are left out."""
_MAX_VALUE: Final = 8 * 1024
_GENEROUS: Final = 4
"""How many times its share of the room an exception inside a group may take."""
_LONGSHORE: Final = errors.__name__


def encode_failure(error: BaseException) -> Failure:
    """The exception as data: class name, message, traceback (with its notes), arguments where they can travel, causes,
    the exceptions of a group.

    Never raises.
    """
    return _encode(error, MAX_PARTS)


def _encode(error: BaseException, room: int) -> Failure:
    chain = [error]
    while len(chain) <= MAX_CAUSES and (cause := _cause(chain[-1])) is not None and cause not in chain:
        chain.append(cause)
    failure: Failure | None = None
    for one in reversed(chain):
        failure = _encode_one(one, failure, room)
    assert failure is not None
    return failure


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _encode_one(error: BaseException, cause: Failure | None, room: int) -> Failure:
    share = min(1.0, _GENEROUS * max(room, 1) / MAX_PARTS)
    return Failure(
        type=classes.dotted(type(error)),
        message=trimmed(_text(error), int(MAX_MESSAGE * share)),
        traceback=trimmed(_traceback(error), int(MAX_TRACEBACK * share)),
        value=_arguments(error, int(_MAX_VALUE * share)),
        cause=cause,
        parts=_parts(error, room),
    )


def _parts(error: BaseException, room: int) -> list[Failure]:
    """The exceptions of a group; the room for them is shared out, so that groups of groups stay bounded, too."""
    if not isinstance(error, BaseExceptionGroup):
        return []
    inside = error.exceptions[:room]
    return [_encode(one, room // (len(inside) + 1)) for one in inside]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - the routine's own __str__: its failure becomes the text
        return f"<{type(broken).__name__} in its __str__>"


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.TracebackException.from_exception(error, compact=True).format(chain=False))
    except Exception as broken:  # noqa: BLE001 - as above: notes and source lines come from the routine's own code
        return f"{classes.dotted(type(error))}: (its traceback cannot be shown: {type(broken).__name__})"


def _arguments(error: BaseException, limit: int) -> bytes:
    try:
        args, state = error.args, vars(error)
        if isinstance(error, BaseExceptionGroup):
            args = (error.message,)
        elif hasattr(
            type(error).__reduce__, "__objclass__"
        ):  # the builtin one knows what `args` lacks, e.g. a file name
            args, state = (*error.__reduce__()[1:], {})[:2]
        kept = {name: value for name, value in state.items() if name != "__notes__"}
        return encode_inline([list(args), kept], limit) or b""
    except Exception:  # noqa: BLE001 - the arguments cannot travel; the class and the text still do
        return b""


def trimmed(text: str, limit: int) -> str:
    """The text with its middle left out, so that it has at most `limit` bytes; always valid UTF-8."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > limit:
        kept = (limit - 64) // 2
        data = data[:kept] + b"\n... %d bytes left out ...\n" % (len(data) - 2 * kept) + data[-kept:]
    return data.decode("utf-8", "ignore")


# ------------------------------------------------------------------------------------------------------ decoding


def decode_failure(failure: Failure, *, modules: Collection[str] = (), strict: bool = False) -> BaseException:
    """The exception again, with the remote traceback as a note and its causes.

    Builtin exceptions, Longshore's own and those in the given modules come back as their class; all others, and those
    that are not an Exception, as RemoteError. `strict`: see `classes.find_known`.
    """
    error = _rebuilt(failure, modules, strict) or RemoteError(failure.type, failure.message, failure.traceback)
    if failure.traceback:
        error.add_note(f"Remote traceback:\n{failure.traceback}")
    if failure.cause is not None:
        error.__cause__ = decode_failure(failure.cause, modules=modules, strict=strict)
    return error


def _rebuilt(failure: Failure, modules: Collection[str], strict: bool) -> BaseException | None:
    if failure.parts:
        return _group(failure, modules, strict)
    cls = classes.find_known(failure.type, (builtins.__name__, _LONGSHORE, *modules), strict=strict)
    if cls is None or not issubclass(cls, Exception) or classes.dotted(cls) != failure.type:
        return None
    args, state = _state(failure)
    try:
        error = cls(*args) if cls.__module__ == builtins.__name__ else cls.__new__(cls, *args)
        BaseException.__setstate__(error, state)
    except Exception:  # noqa: BLE001 - a constructor that does not take its own args: the text is what is left
        return None
    return error


def _group(failure: Failure, modules: Collection[str], strict: bool) -> BaseException:
    """The group with its exceptions, so that `except*` finds them; of its own class if that is known here."""
    inside = [decode_failure(part, modules=modules, strict=strict) for part in failure.parts]
    found = classes.find_known(failure.type, (builtins.__name__, *modules), strict=strict)
    cls = found if found is not None and issubclass(found, ExceptionGroup) else ExceptionGroup
    args, state = _state(failure)
    message = args[0] if args and isinstance(args[0], str) else failure.message
    exceptions = [one for one in inside if isinstance(one, Exception)]
    try:
        error: BaseException = cls.__new__(cls, message, exceptions)
        BaseException.__setstate__(error, state)
    except Exception:  # noqa: BLE001 - a constructor of its own: the plain group holds the same
        error = ExceptionGroup(message, exceptions)
    return error


def _state(failure: Failure) -> tuple[list[Any], dict[str, Any]]:
    """The arguments and attributes; only the message where they did not travel or cannot be read here."""
    try:
        arguments = as_arguments(decode(failure.value)) if failure.value else None
    except DecodeError:
        arguments = None
    return (list(arguments.args), arguments.kwargs) if arguments else ([failure.message], {})
