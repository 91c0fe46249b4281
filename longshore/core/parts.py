"""The root of all messages and the parts they are made of: values and claim checks, failures, options, offers, the
rows of a journal.

`*_ms` are milliseconds; `*_at` are aware UTC datetimes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from longshore.core.ids import Address, RunId

PROTOCOL: Final = 1


def tag_of(name: str) -> str:
    """A message's tag, from the name of its class."""
    return "".join("_" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(name))


class Message(msgspec.Struct, tag=tag_of, tag_field="type", omit_defaults=True, gc=False):
    """The root of all messages; the tag is the class name in snake_case."""


class ClaimCheck(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What travels instead of a large value: a key relative to the payload store, never a path or an address."""

    key: str
    size: int
    sha256: str
    codec: str = ""


Value = bytes | ClaimCheck
"""A value as it travels: its own bytes, or a claim check."""


class Failure(msgspec.Struct, omit_defaults=True, gc=False):
    """A routine's exception as it travels. `type` is `module.QualName`; `value` is the encoded arguments of the
    exception; `parts` are those of an exception group."""

    type: str
    message: str
    traceback: str = ""
    value: bytes = b""
    cause: Failure | None = None
    parts: list[Failure] = []

    @property
    def weight(self) -> int:
        """About how many bytes it takes in a message, with all it holds."""
        inside = [*self.parts, *([] if self.cause is None else [self.cause])]
        own = 60 + len(self.type) + len(self.message) + len(self.traceback) + len(self.value)
        return own + sum(one.weight for one in inside)


class Debounce(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Of triggers that come within `delay_ms` with the same key, one run is made: "trailing", with the last one's input
    and options, at most `max_delay_ms` after the first; or "leading", with the first one's, at once."""

    key: str
    delay_ms: int
    mode: str = "trailing"
    max_delay_ms: int | None = None


class Options(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """What a trigger may ask for. None means: as the routine says."""

    delay_ms: int | None = None
    ttl_ms: int | None = None
    deadline_ms: int | None = None
    timeout_ms: int | None = None
    max_attempts: int | None = None
    retry_first_ms: int | None = None
    retry_factor: float | None = None
    retry_max_ms: int | None = None
    idempotency_key: str = ""
    idempotency_scope: str = ""  # "global" ("" as well), or "run": of a workflow's call, the key is that workflow's own
    idempotency_ttl_ms: int | None = None
    producer: str = ""  # whose the idempotency key is: of who triggers, by default the project "default"
    debounce: Debounce | None = None
    queue: str = ""
    concurrency_key: str = ""
    pool: str = ""
    priority: float = 0.0
    tags: list[str] = []
    metadata: dict[str, Any] = {}
    version: str = ""  # "1.2.0", or "latest": the newest offered when it is dispatched
    version_deadline_ms: int | None = None  # how long it waits for a version nobody offers
    batch_id: str = ""  # the batch it is an item of
    on_parent_end: str = ""  # of a workflow's call: "cancel" | "abandon"; "": as the parent's routine says


class Edit(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One change of a run's metadata or tags. `op`: set, delete, append, increment (by `value`) of the metadata's
    `key`; add_tag, remove_tag of the tag that is the `key`. Values are plain data."""

    op: str
    key: str
    value: Any = None


class Edits(msgspec.Struct, omit_defaults=True, gc=False):
    """What a run's code changes: of its own metadata and tags (`self`), its `parent`'s, or its `root`'s."""

    target: str
    edits: list[Edit]


class Delivery(msgspec.Struct, omit_defaults=True, gc=False):
    """One fact told to a workflow. kind: `outcome` (of a call), `timer`, `cancel`, `signal` (its name is in
    `status`), `token` (its `status` is COMPLETED, or FAILED with the text of an error for a value). Ordered by `seq`,
    from 1."""

    seq: int
    kind: str
    address: Address
    at: datetime
    status: str = ""
    result: Value | None = None
    error: Failure | None = None
    cached: bool = False
    child_id: RunId = RunId("")


class Differs(msgspec.Struct, omit_defaults=True, gc=False):
    """Where a workflow's code differs from its journal, and what its own call there is given, each argument as it would
    be written (None: it makes no call there, or one that cannot be shown)."""

    address: Address
    arguments: list[str] | None = None


class CallRow(msgspec.Struct, omit_defaults=True, gc=False):
    """One recorded call of a workflow. `asked_seq` is the delivery in whose pump it was asked."""

    address: Address
    kind: str  # "call" | "timer" | "signal" | "token" | "patch"
    name: str
    digest: str
    asked_seq: int
    child_id: RunId = RunId("")
    place: str = ""
    closed: bool = False  # canceled or abandoned by the workflow


class Offer(msgspec.Struct, omit_defaults=True, gc=False):
    """One routine version a worker can execute, with the policy its author gave it."""

    routine: str
    version: str
    kind: str  # "task" | "action" | "workflow"
    cache: bool = False
    cache_ttl_ms: int | None = None
    max_attempts: int = 3
    timeout_ms: int | None = None
    retry_first_ms: int = 1000
    retry_factor: float = 2.0
    retry_max_ms: int = 60_000
    on_crash: str = "retry"
    pool_on_oom: str = ""
    hooks: bool = False  # it has some that hear of ends
    queue: str = "default"
    children: str = "cancel"
    keep_ms: int = -1  # of runs that have ended; -1: as the settings say, 0: without a bound
    keep_count: int = -1


class Held(msgspec.Struct, omit_defaults=True, gc=False):
    """A run the worker holds: executing, hanging, or ended with the report not yet taken."""

    run_id: RunId
    epoch: int
    started: bool = True


class Call(msgspec.Struct, omit_defaults=True, gc=False):
    """A workflow calls a routine."""

    address: Address
    routine: str
    digest: str
    input: Value
    child_id: RunId
    version: str = ""
    options: Options | None = None
    cache_key: str = ""
    place: str = ""  # file:line of the call
    traceparent: str = ""
    asked_seq: int = 0  # the delivery in whose pump it was asked


class Timer(msgspec.Struct, omit_defaults=True, gc=False):
    """A workflow waits until `due_at`. The fingerprint is the duration; or the `instant`, where that was asked for."""

    address: Address
    digest: str
    due_at: datetime
    place: str = ""
    asked_seq: int = 0
    instant: bool = False


class Wait(msgspec.Struct, omit_defaults=True, gc=False):
    """A workflow waits for something from outside: a `signal` or a `token` (both named), until `due_at` if that is set,
    which then is a timer of this address. A `patch` is a mere marker: it is recorded, and nothing waits for it."""

    address: Address
    kind: str  # "signal" | "token" | "patch"
    name: str
    digest: str
    asked_seq: int = 0
    place: str = ""
    due_at: datetime | None = None


class Recorded(msgspec.Struct, omit_defaults=True):
    """A workflow's journal as it is recorded, or a page of it: whose it is, and the calls and facts of its present
    generation. `more`: the next page is behind delivery `after` and call address `address`. The input stands in the
    first page only."""

    run_id: RunId
    routine: str
    version: str
    status: str
    attempt: int
    generation: int
    started_at: datetime | None = None  # the stamp of its seq 0; None: it has not begun
    last_seq: int = 0
    processed_seq: int = -1
    input: Value | None = None
    calls: list[CallRow] = []
    deliveries: list[Delivery] = []
    more: bool = False
    after: int = 0
    address: str = ""
    forked_seq: int = -1
    seed: RunId = RunId("")
