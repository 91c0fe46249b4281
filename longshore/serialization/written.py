"""The arguments of a call as they would be written, for people who must tell two calls apart.

It reads what travels, so that both sides of a difference are written alike, and constructs no user's class. Sets and
dictionaries are sorted: their order is no part of a fingerprint.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from longshore.core.errors import DecodeError, EncodingError
from longshore.serialization.arguments import Arguments, encode_arguments
from longshore.serialization.plain import plain

LARGEST: Final = 64 * 1024
"""Bytes of arguments that are worth reading for this."""
LONGEST: Final = 200
"""Characters of one argument; what is longer is cut, and told from others by its length and digest."""
_BEGINNING: Final = 160


def written_call(arguments: Arguments) -> list[str] | None:
    """Each argument of a call that is about to be made; None for what cannot travel or is too large."""
    try:
        encoded = encode_arguments(arguments.args, arguments.kwargs)
        return written(encoded.inline()) if encoded.size <= LARGEST else None
    except EncodingError:
        return None


def written(stored: bytes) -> list[str] | None:
    """Each argument of a call as it travels, in at most 200 characters; None for what are no arguments."""
    try:
        value = plain(stored)
    except DecodeError:
        return None
    match value:
        case [list(args), dict(kwargs)] if "$type" not in kwargs:
            named = sorted(f"{name}={_text(one)}" for name, one in kwargs.items())
            return [_cut(one) for one in (*map(_text, args), *named)]
    return None


def _text(value: Any) -> str:
    match value:
        case {"$type": "dict", "value": list(pairs)}:
            return "{" + ", ".join(sorted(f"{_text(key)}: {_text(one)}" for key, one in pairs)) + "}"
        case {"$type": str(name), "value": dict(fields)}:
            return f"{_short(name)}({', '.join(f'{field}={_text(one)}' for field, one in fields.items())})"
        case {"$type": "tuple", "value": list(items)}:
            return f"({', '.join(map(_text, items))}{',' if len(items) == 1 else ''})"
        case {"$type": "set" | "frozenset" as name, "value": list(items)}:
            return f"{name}({', '.join(sorted(map(_text, items)))})"
        case {"$type": str(name), "value": inner}:
            return f"{_short(name)}({_text(inner)})"
        case dict():
            return "{" + ", ".join(sorted(f"{key!r}: {_text(one)}" for key, one in value.items())) + "}"
        case list():
            return f"[{', '.join(map(_text, value))}]"
    return repr(value)


def _short(name: str) -> str:
    return name.rpartition(".")[2].rpartition(":")[2]


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{text[:_BEGINNING]}… ({len(text):,} characters, {digest})"
