"""How much memory processes use, and how it is bounded. Linux only; elsewhere nothing is known and nothing bounded.

It kills nobody. Figures are bytes, from /proc and the control group's own counts.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_PROC: Final = Path("/proc")
_GROUPS: Final = Path("/sys/fs/cgroup")


def used(pid: int, limit: int) -> int:
    """What a process and those it started use together; 0 where that cannot be known. Pages they share are counted once
    if the sum is over the limit (that takes longer to find out)."""
    pids = [pid, *_below(pid)]
    found = sum(map(_resident, pids))
    return found if found <= limit or len(pids) == 1 else sum(map(_own_share, pids))


def _below(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):
        for thread in os.listdir(_PROC / str(pid) / "task"):
            for child in (_PROC / str(pid) / "task" / thread / "children").read_text().split():
                yield int(child)
                yield from _below(int(child))


def _resident(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _own_share(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _resident(pid)


@contextmanager
def bounded(limit: int | None) -> Iterator[None]:
    """In here this process may take `limit` bytes more than it has: beyond, an allocation raises MemoryError at once.

    It bounds data (RLIMIT_DATA), not addresses: numerical libraries reserve many more of these than they ever use.
    """
    now = None if limit is None else _data()
    if limit is None or now is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = now + limit if hard == resource.RLIM_INFINITY else min(now + limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in (_PROC / "self" / "status").read_text().splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return None


def kernel_kills() -> int:
    """How often the kernel has killed a process of our control group for lack of memory; 0 where it does not say."""
    with contextlib.suppress(OSError):
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            inside = path.lstrip("/")
            if number == "0" and not controllers:
                found = _count(_GROUPS, inside, "memory.events")
            elif "memory" in controllers.split(","):
                found = _count(_GROUPS / "memory", inside, "memory.oom_control")
            else:
                continue
            if found is not None:
                return found
    return 0


def _count(root: Path, inside: str, name: str) -> int | None:
    for place in (root / inside, root):  # in a container its own group is the root
        with contextlib.suppress(OSError, ValueError):
            for line in (place / name).read_text().splitlines():
                word, _, number = line.partition(" ")
                if word == "oom_kill":
                    return int(number)
    return None
