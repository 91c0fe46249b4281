"""What the author of a routine decides about its runs: attempts, time, cache, place, crashes. Facts, no acts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from longshore.core.errors import RemoteError
from longshore.routines.hooks import Hooks

Kind = Literal["task", "action", "workflow"]
Isolation = Literal["thread", "process", "loop"]
OnCrash = Literal["retry", "fail"]
Children = Literal["cancel", "abandon"]
ChildrenVersion = Literal["pinned", "latest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The author's word; a trigger's options may say otherwise for one run."""

    max_attempts: int
    cache: bool
    """Whether equal calls may share a result. False for every `-dev` version."""
    cache_ttl: timedelta | None
    isolation: Isolation
    queue: str
    timeout: timedelta | None
    retry_on: tuple[type[BaseException], ...]
    """Only failures of these classes are tried again."""
    retry_first: timedelta
    retry_factor: float
    retry_max: timedelta
    on_crash: OnCrash
    children: Children
    """What becomes of those it has called when it ends before them, where neither the call nor the called one says."""
    keep: timedelta | Literal["off"] | None = None
    """How long its runs are kept that have ended. None: as the settings say; "off": for ever."""
    keep_count: int | None = None
    """How many of those are kept. None: as the settings say."""
    on_parent_end: Children | None = None
    """What becomes of it when the workflow that called it ends first. None: as that workflow says."""
    children_version: ChildrenVersion = "pinned"
    """Which version its calls ask for where they say nothing: the one imported beside it, or the newest offered."""
    heartbeat_timeout: timedelta | None = None
    """How long an attempt may go on without a sign of life."""
    memory_limit: int | None = None
    """Bytes that its process may use in all; only with isolation="process"."""
    pool_on_oom: str = ""
    """Where the next attempt goes when one has run out of memory."""
    hooks: Hooks = field(default_factory=Hooks)
    """What else happens when its runs begin or end."""
    retry_on_names: frozenset[str] = frozenset()
    """The same by name, `module.Class` or a builtin's, for classes that need not be importable."""

    def retries(self, error: BaseException) -> bool:
        """Whether a failure of this kind is tried again while attempts are left."""
        if isinstance(error, self.retry_on):
            return True
        names = self.retry_on_names
        if not names:
            return False
        if isinstance(error, RemoteError) and error.type.removeprefix("builtins.") in names:
            return True
        return any(
            f"{one.__module__}.{one.__qualname__}".removeprefix("builtins.") in names for one in type(error).__mro__
        )
