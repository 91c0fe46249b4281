"""What ties a worker process to its supervisor: each hears when the other is gone, and the supervisor keeps what a
child said last: its last words where no restart can help, and the end of its stderr, which is passed on as it comes.

It starts and ends no process, and decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Final, NamedTuple

from longshore.worker.config import SUPERVISOR_VARIABLE
from longshore.worker.parent import die_with_parent
from longshore.worker.stderr import Tail

LONGEST_WORDS: Final = 4000
"""Bytes: less than a pipe takes at once, whoever reads it and when."""
ENDED_WITHIN: Final = 0.5
"""Seconds: who else holds the stderr of a dead child (a program that it started) keeps nobody waiting for longer."""
_STDERR: Final = 2


class Ends(NamedTuple):
    """What a child has, by file number: the pipe that ends with its supervisor, the one for its last words, the one its
    stderr goes to (its other end), and the supervisor's own stderr."""

    over: int
    says: int
    told: int
    stderr: int


class Lifeline:
    """The supervisor's side, for one child. `stderr` is what the child writes to; `ends` go to it."""

    def __init__(self) -> None:
        over, self._alive = os.pipe()  # we never write: the child reads its end when we are gone
        self._hears, says = os.pipe()
        told, self.stderr = os.pipe()
        os.set_blocking(self._hears, False)
        self.ends = Ends(over, says, told, os.dup(_STDERR))
        self._tail = Tail(os.dup(told))

    @property
    def variable(self) -> dict[str, str]:
        """How the child finds its ends, in its environment."""
        return {SUPERVISOR_VARIABLE: ":".join(map(str, (os.getpid(), *self.ends)))}

    def started(self) -> None:
        """The child has its ends, or will never have them."""
        for one in (*self.ends, self.stderr):
            os.close(one)

    def words(self) -> str:
        """The last words of a child that is gone."""
        try:
            return os.read(self._hears, LONGEST_WORDS).decode("utf-8", "replace")
        except BlockingIOError:  # a process of the child's own still holds the other end, and said nothing
            return ""

    async def stderr_tail(self) -> str:
        """The end of what a child that is gone wrote to stderr."""
        return await asyncio.to_thread(self._tail.text, ENDED_WITHIN)

    def close(self) -> None:
        """The child is gone."""
        os.close(self._alive)
        os.close(self._hears)


# ------------------------------------------------------------------------------------------------- in a worker process


def _ends() -> tuple[int, Ends] | None:
    """The supervisor's process id, and what it gave us; None where nobody supervises."""
    parts = os.environ.get(SUPERVISOR_VARIABLE, "").split(":")
    if len(parts) != 5 or not all(part.isdigit() for part in parts):
        return None
    pid, *ends = map(int, parts)
    return pid, Ends(*ends)


def say_last_words(text: str) -> bool:
    """In a worker process about to end because no restart can help: leave the reason with the supervisor, who shows it
    once for all its children. False when there is none."""
    found = _ends()
    if found is None:
        return False
    try:
        os.write(found[1].says, text.encode()[:LONGEST_WORDS])
    except OSError:  # it is gone
        return False
    return True


def heed_supervisor(drain: Callable[[], None]) -> None:
    """In a worker process: call `drain` on the running loop when the supervisor that started it (if one did) is gone;
    stderr then goes where the supervisor's went."""
    found = _ends()
    if found is None:
        return
    pid, ends = found
    loop = asyncio.get_running_loop()

    def over() -> None:
        loop.remove_reader(ends.over)
        with contextlib.suppress(OSError):
            os.dup2(ends.stderr, _STDERR)
            Tail(ends.told)  # who is writing still, into a pipe that nobody else reads, comes to its end
        drain()

    loop.add_reader(ends.over, over)
    die_with_parent(signal.SIGTERM, pid)
