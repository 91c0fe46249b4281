"""A crew: worker processes of one kind. It says how they are started; what they do is the worker's matter."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

CHILD: Final = "longshore.assembly.child"


@dataclass(frozen=True, slots=True)
class Crew:
    """Which modules' routines the processes execute, under which label, how many of them, with how many slots each.

    `grace` is how many seconds a task may go on after the first signal. `settings` are overrides, by field; never
    secrets, because they are seen in the list of processes.
    """

    modules: tuple[str, ...]
    pool: str = "default"
    slots: int = 16
    processes: int = 1
    grace: float = 25.0
    log_level: str = "warning"
    log_json: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    def command(self) -> list[str]:
        """What starts one process of it; see `child.py` for the other end."""
        return [sys.executable, "-m", CHILD, json.dumps(asdict(self))]

    @classmethod
    def from_word(cls, word: str) -> Crew:
        """The crew out of the word behind `longshore.assembly.child`."""
        fields = json.loads(word)
        return cls(**{**fields, "modules": tuple(fields["modules"])})


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
