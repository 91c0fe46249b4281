"""`context.metadata`: what a run's code reads of its metadata, and how it changes its own, its parent's, its root's.

It keeps what this code has seen and done; the ledger has what is true. Nothing is sent from here.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from longshore.core.errors import UsageError
from longshore.core.message import Edit
from longshore.core.metadata import (
    ADD_TAG,
    APPEND,
    DELETE,
    INCREMENT,
    MAX_METADATA,
    REMOVE_TAG,
    SET,
    Annotations,
    encode,
    problem,
)

SELF: Final = "self"
PARENT: Final = "parent"
ROOT: Final = "root"
_decode: Final = msgspec.json.Decoder().decode

Say = Callable[[str, Edit], None]
"""(target, edit): have the ledger do it."""


def plain(key: str, value: Any) -> Any:
    """The value as JSON has it, a copy. Raises UsageError for what JSON lacks or is too large to be kept."""
    refused = problem(Edit(SET, key, value))
    if refused:
        raise UsageError(f"metadata: {refused}")
    text = encode(value)
    if len(text) > MAX_METADATA:
        raise UsageError(f"metadata: {key!r} has {len(text)} bytes as JSON: at most {MAX_METADATA} are kept of a run")
    return _decode(text)


def edit_of(op: str, key: object, value: Any = None) -> Edit:
    """The edit, checked. Raises UsageError."""
    if not isinstance(key, str):
        what = "a tag" if op in (ADD_TAG, REMOVE_TAG) else "a key of metadata"
        raise UsageError(f"{what} is a text, not {key!r}")
    edit = Edit(op, key, plain(key, value) if op in (SET, APPEND) else value)
    refused = problem(edit)
    if refused:
        raise UsageError(f"metadata: {refused}")
    return edit


class Target:
    """Somebody's metadata and tags, to be changed. Each change is applied by the ledger, in order, once: many runs may
    increment one counter. One that cannot be done (over 256 KiB, 10 tags; a text incremented) is logged here and
    recorded in that run's history; the code goes on."""

    __slots__ = ("_change",)

    def __init__(self, change: Callable[[Edit], None]) -> None:
        self._change = change

    def set(self, key: str, value: Any) -> None:
        """Make this the value of the key: plain data, as in JSON. Raises UsageError for anything else."""
        self._change(edit_of(SET, key, value))

    def delete(self, key: str) -> None:
        """Let go of the key, if it is there."""
        self._change(edit_of(DELETE, key))

    def append(self, key: str, value: Any) -> None:
        """Add an item to the list under this key; the first one makes the list."""
        self._change(edit_of(APPEND, key, value))

    def increment(self, key: str, by: float = 1) -> None:
        """Add to the number under this key, which begins at 0. Raises UsageError for what is no finite number."""
        self._change(edit_of(INCREMENT, key, by))

    def add_tags(self, *tags: str) -> None:
        """Add tags: a run has at most 10, of 1 to 128 characters."""
        for tag in tags:
            self._change(edit_of(ADD_TAG, tag))

    def remove_tags(self, *tags: str) -> None:
        """Take these tags away, where they are there."""
        for tag in tags:
            self._change(edit_of(REMOVE_TAG, tag))


class Metadata(Target, Mapping[str, Any]):
    """A run's own metadata: a mapping of what it began with and what its own code did since. In a workflow it is the
    same in every replay."""

    __slots__ = ("_annotations", "_lock", "_say", "parent", "root")

    def __init__(self, given: Mapping[str, Any], say: Say) -> None:
        super().__init__(self._change_own)
        self._annotations = Annotations(copy.deepcopy(dict(given)), ())
        self._say = say
        self._lock = threading.Lock()
        self.parent = Target(lambda edit: self._tell(PARENT, edit))
        """The metadata of the run that called this one; what has no parent changes nothing by it."""
        self.root = Target(lambda edit: self._tell(ROOT, edit))
        """The metadata of the first run of the tree: this run's own, if it is the first."""

    def __getitem__(self, key: str) -> Any:
        with self._lock:
            value = self._annotations.metadata[key]
            return copy.deepcopy(value) if isinstance(value, list | dict) else value

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._annotations.metadata))

    def __len__(self) -> int:
        return len(self._annotations.metadata)

    def __repr__(self) -> str:
        return f"<metadata {self._annotations.metadata!r}>"

    def _change_own(self, edit: Edit) -> None:
        with self._lock:
            if edit.op not in (ADD_TAG, REMOVE_TAG):
                self._annotations.apply(copy.deepcopy(edit))
            self._say(SELF, edit)

    def _tell(self, target: str, edit: Edit) -> None:
        with self._lock:
            self._say(target, edit)
