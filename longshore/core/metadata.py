"""What may be done to a run's metadata and tags, one operation at a time: pure rules over plain data.

The ledger applies them to the row's state, a worker to what its own run sees. It keeps nothing between batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from longshore.core.parts import Edit

SET: Final = "set"
DELETE: Final = "delete"
APPEND: Final = "append"
INCREMENT: Final = "increment"
ADD_TAG: Final = "add_tag"
REMOVE_TAG: Final = "remove_tag"
OPERATIONS: Final = (SET, DELETE, APPEND, INCREMENT, ADD_TAG, REMOVE_TAG)

MAX_METADATA: Final = 256 * 1024
"""Bytes of all metadata of a run, as JSON."""
MAX_KEY: Final = 256
MAX_TAGS: Final = 10
MAX_TAG: Final = 128
MAX_EDITS: Final = 1000
"""Edits in one order."""
SHOWN: Final = 8
"""So many keys are named in a summary."""
_VALUE_SHOWN: Final = 40
_UNENCODABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)
_SMALLEST: Final = -(1 << 63)
_LARGEST: Final = (1 << 64) - 1

encode: Final = msgspec.json.Encoder().encode
_travelling: Final = msgspec.msgpack.Encoder().encode


def problem(edit: Edit) -> str:
    """What is wrong with an operation whatever it is applied to; empty if nothing is."""
    if edit.op in (ADD_TAG, REMOVE_TAG):
        return "" if 0 < len(edit.key) <= MAX_TAG else f"a tag has 1 to {MAX_TAG} characters, not {len(edit.key)}"
    if edit.op not in OPERATIONS:
        return f"{edit.op[:40]!r} is no operation; there are {', '.join(OPERATIONS)}"
    if not 0 < len(edit.key) <= MAX_KEY:
        return f"a key of metadata has 1 to {MAX_KEY} characters, not {len(edit.key)}"
    if edit.op == INCREMENT and not is_number(edit.value):
        return f"{edit.key!r} can be incremented by a number only, not by {_short(edit.value)}"
    if edit.op in (SET, APPEND) and (strange := unlike_json(edit.value)):
        return f"{edit.key!r}: only plain data (as in JSON) can be kept: {strange}"
    return ""


def unlike_json(value: object) -> str:
    """Why a value cannot be kept as JSON without becoming another; empty if it can."""
    try:
        encode(value)
        _travelling(value)  # which knows no whole numbers beyond 64 bits
    except _UNENCODABLE as error:
        return str(error)
    return _lost(value)


def _lost(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no number in JSON"
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes are not in JSON; write them as a text"
    within = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple | set) else ()
    return next((found for one in within if (found := _lost(one))), "")


def problem_of_all(edits: Sequence[Edit]) -> str:
    """What is wrong with these operations as one order; empty if nothing is."""
    if not 0 < len(edits) <= MAX_EDITS:
        return f"an order has 1 to {MAX_EDITS} operations, not {len(edits)}"
    return next((found for edit in edits if (found := problem(edit))), "")


def distinct(tags: list[str]) -> list[str]:
    """The tags as a run has them: each once, in the order given."""
    return tags if len(tags) < 2 else list(dict.fromkeys(tags))


def is_number(value: object) -> bool:
    """Whether metadata can be incremented by it and it can be kept: finite, whole ones within 64 bits."""
    if isinstance(value, bool):
        return False
    return (
        _SMALLEST <= value <= _LARGEST if isinstance(value, int) else isinstance(value, float) and math.isfinite(value)
    )


class Annotations:
    """One run's metadata and tags while they are being changed: each operation costs what it changes, not what there
    is. The dict and the lists in it are the caller's from then on no more."""

    __slots__ = ("_sizes", "_touched", "metadata", "size", "tags")

    def __init__(self, metadata: dict[str, Any], tags: Sequence[str]) -> None:
        self.metadata = metadata
        self.tags = list(tags)
        self._sizes = {key: len(encode(value)) for key, value in metadata.items()}
        self.size = 2 + sum(len(encode(key)) + 2 + size for key, size in self._sizes.items())
        self._touched: dict[str, str] = {}

    def apply(self, edit: Edit) -> str:
        """Do it; or say why not, and nothing is changed. The edit is one without a `problem`."""
        if edit.op == ADD_TAG:
            return self._add_tag(edit.key)
        if edit.op == REMOVE_TAG:
            self._remove_tag(edit.key)
            return ""
        if edit.op == DELETE:
            self._delete(edit.key)
            return ""
        if edit.op == APPEND:
            return self._append(edit.key, edit.value)
        value = edit.value
        if edit.op == INCREMENT:
            before = self.metadata.get(edit.key, 0)
            value = before + value if is_number(before) else None
            if not is_number(value):
                return f"{edit.key!r} cannot be incremented by {_short(edit.value)}: it is {_short(before)}"
        return self._set(edit.key, value)

    def apply_all(self, edits: Sequence[Edit]) -> str:
        """Do all of them; or say why not, and none is done."""
        before = self._copy({edit.key for edit in edits})
        for edit in edits:
            refused = self.apply(edit)
            if refused:
                self._restore(before)
                return refused
        return ""

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return bool(self._touched)

    def summary(self) -> str:
        """What was done, for people: `metadata: done=12, log (3 items), old deleted; tag red added`."""
        touched = list(self._touched.items())
        named = [word or _shown(key, self.metadata[key]) for key, word in touched if not key.startswith(_TAG)]
        tags = [f"tag {key[len(_TAG) :]} {word}" for key, word in touched if key.startswith(_TAG)]
        words = [f"metadata: {_few(named)}"] if named else []
        return "; ".join([*words, *([_few(tags)] if tags else [])])

    # ------------------------------------------------------------------------------------------------- one operation

    def _set(self, key: str, value: Any) -> str:
        size = len(encode(value))
        grown = size - self._sizes[key] if key in self._sizes else size + len(encode(key)) + 2
        if grown > 0 and self.size + grown > MAX_METADATA:
            return self._too_large(key, grown)
        self.metadata[key] = value
        self._sizes[key] = size
        self.size += grown
        self._touch(key)
        return ""

    def _append(self, key: str, value: Any) -> str:
        found = self.metadata.get(key)
        if found is None:
            return self._set(key, [value])
        if not isinstance(found, list):
            return f"nothing can be appended to {key!r}: it is {_short(found)}, no list"
        grown = len(encode(value)) + (1 if found else 0)
        if self.size + grown > MAX_METADATA:
            return self._too_large(key, grown)
        found.append(value)
        self._sizes[key] += grown
        self.size += grown
        self._touch(key)
        return ""

    def _delete(self, key: str) -> None:
        if key in self.metadata:
            del self.metadata[key]
            self.size -= self._sizes.pop(key) + len(encode(key)) + 2
            self._touch(key, f"{key} deleted")

    def _add_tag(self, tag: str) -> str:
        if tag in self.tags:
            return ""
        if len(self.tags) >= MAX_TAGS:
            return f"tag {tag!r} cannot be added: a run has at most {MAX_TAGS}, and this one has {', '.join(self.tags)}"
        self.tags.append(tag)
        self._touch(_TAG + tag, "added")
        return ""

    def _remove_tag(self, tag: str) -> None:
        if tag in self.tags:
            self.tags.remove(tag)
            self._touch(_TAG + tag, "removed")

    def _touch(self, key: str, word: str = "") -> None:
        self._touched.pop(key, None)
        self._touched[key] = word

    def _too_large(self, key: str, grown: int) -> str:
        return f"{key!r} would make the metadata {self.size + grown} bytes as JSON: at most {MAX_METADATA} are kept"

    # -------------------------------------------------------------------------------------------------- all or nothing

    def _copy(self, keys: set[str]) -> tuple[Any, ...]:
        kept = {
            key: (list(value) if isinstance(value, list) else value, self._sizes[key])
            for key, value in self.metadata.items()
            if key in keys
        }
        return keys, kept, self.size, list(self.tags), dict(self._touched)

    def _restore(self, before: tuple[Any, ...]) -> None:
        keys, kept, self.size, self.tags, self._touched = before
        for key in keys:
            self.metadata.pop(key, None)
            self._sizes.pop(key, None)
        for key, (value, size) in kept.items():
            self.metadata[key], self._sizes[key] = value, size


_TAG: Final = "\0tag "
"""Before a tag among the keys that were touched."""


class Merged:
    """Edits made fewer with the same effect while they wait: the latest set of a key counts, increments are summed."""

    __slots__ = ("_found",)

    def __init__(self, edits: Iterable[Edit] = ()) -> None:
        self._found: dict[tuple[bool, str], list[Edit]] = {}
        for edit in edits:
            self.add(edit)

    def add(self, edit: Edit) -> None:
        """One more."""
        tag = edit.op in (ADD_TAG, REMOVE_TAG)
        own = self._found.setdefault((tag, edit.key), [])
        last = own[-1] if own else None
        if tag or edit.op in (SET, DELETE):
            own[:] = [edit]
        elif edit.op == INCREMENT and last is not None and last.op in (SET, INCREMENT) and _sums(last, edit):
            own[-1] = Edit(last.op, edit.key, last.value + edit.value)
        else:
            own.append(edit)

    def edits(self) -> list[Edit]:
        """What is to be done."""
        return [edit for own in self._found.values() for edit in own]


def _sums(last: Edit, edit: Edit) -> bool:
    return is_number(last.value) and is_number(last.value + edit.value)


def weight(edits: Iterable[Edit]) -> int:
    """About how many bytes they take in a message."""
    return sum(30 + len(edit.key) + (len(encode(edit.value)) if edit.value is not None else 0) for edit in edits)


def _few(words: Sequence[str]) -> str:
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def _shown(key: str, value: Any) -> str:
    if isinstance(value, list):
        return f"{key} ({len(value)} items)"
    return f"{key}={_short(value)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _VALUE_SHOWN else f"{text[: _VALUE_SHOWN - 3]}..."
