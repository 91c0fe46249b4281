"""A crew: worker processes of one kind. It says how they are started; what they do is the worker's matter."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Crew:
    """Which modules' routines the processes execute, under which label, how many of them, with how many slots each."""

    modules: tuple[str, ...]
    pool: str = "default"
    slots: int = 16
    processes: int = 1
    log_level: str = "warning"
    log_json: bool = False

    def command(self) -> list[str]:
        """What starts one process of it; see `child.py` for the other end."""
        words = [sys.executable, "-m", "longshore.assembly.child", self.pool, str(self.slots), self.log_level]
        return [*words, "json" if self.log_json else "text", *self.modules]

    @classmethod
    def from_words(cls, words: list[str]) -> Crew:
        """The crew of one process out of the words behind `longshore.assembly.child`."""
        pool, slots, log_level, log_format, *modules = words
        return cls(tuple(modules), pool=pool, slots=int(slots), log_level=log_level, log_json=log_format == "json")


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
