"""Keeps N worker processes alive: starts them, starts dead ones again, and tells the coordinator of each death at once.

It runs no routine and holds no session of its own. Its children notice its death (a signal, and the end of a pipe) and
drain.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from typing import Final, NamedTuple

from longshore.broker.bus import Bus, Outgoing
from longshore.core import envelope
from longshore.core.envelope import Names
from longshore.core.errors import BrokerUnavailableError
from longshore.core.ids import SessionId
from longshore.core.message import ChildDied
from longshore.serialization.envelope import pack
from longshore.worker import memory
from longshore.worker.config import ADVISES_VARIABLE, SESSION_VARIABLE, new_session
from longshore.worker.desk import log
from longshore.worker.lifeline import Lifeline
from longshore.worker.session import REPORTS_KEY

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
GOOD_LIFE: Final = 10.0
"""Seconds of life after which the next pause is the first one again."""
USAGE_STATUS: Final = 2
"""A child's exit status that no restart can help: wrong modules or settings, or refused by the coordinator."""
OPEN_TIMEOUT: Final = 5.0
TELL_TIMEOUT: Final = 2.0
TELL_TIMES: Final = 30
TELL_AGAIN: Final = (2.0, 8.0)
"""Seconds after which a death is told again: a coordinator that is killed with the word in its hands has not kept it,
and the one after it would have to wait for silence."""


class Gone(NamedTuple):
    """How a child ended: its exit status (negative for a signal), its last words, the end of its stderr."""

    status: int
    words: str
    tail: str = ""


class Supervisor:
    """See the module. `command` starts one worker; its session comes in the environment."""

    def __init__(self, command: Sequence[str], processes: int, bus: Bus, names: Names) -> None:
        self._command = list(command)
        self._processes = processes
        self._bus = bus
        self._names = names
        self._children: dict[SessionId, Process] = {}
        self._stopping = asyncio.Event()
        self._status = 0
        self._words = ""
        self._advised = False
        self._connected = asyncio.Event()
        self._repeats: set[asyncio.Task[None]] = set()  # words that are said again

    async def run(self) -> int:
        """Until told to stop, or no child is left: the exit status for this process."""
        async with asyncio.TaskGroup() as group:
            connecting = group.create_task(self._connect())
            async with asyncio.TaskGroup() as keeping:
                for _ in range(self._processes):
                    keeping.create_task(self._keep_one())
            for one in (connecting, *self._repeats):
                one.cancel()
        await self._bus.close()
        return self._status

    def stop(self) -> None:
        """Have the children drain, and end with the last of them. The second call kills them."""
        by = signal.SIGKILL if self._stopping.is_set() else signal.SIGTERM
        self._stopping.set()
        for child in list(self._children.values()):
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(by)

    @property
    def children(self) -> dict[SessionId, int]:
        """The process ids of the children that live, by session."""
        return {session: child.pid for session, child in self._children.items()}

    @property
    def last_words(self) -> str:
        """Why no child can be started, as the first of those that said so put it: what happened, then what to do."""
        return self._words

    async def _connect(self) -> None:
        while True:
            try:
                await self._bus.open(timeout=OPEN_TIMEOUT)
            except BrokerUnavailableError as error:
                log.warning("the supervisor cannot reach the broker and tries again: %s", error)
                await asyncio.sleep(1.0)
            else:
                self._connected.set()
                return

    async def _keep_one(self) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        telling: set[asyncio.Task[None]] = set()
        while not self._stopping.is_set():
            began = loop.time()
            session = new_session()
            kernel_kills = memory.kernel_kills()
            status, words, tail = await self._live(session)
            if status == 0 or (status == -signal.SIGTERM and self._stopping.is_set()):
                break  # it left; or it had not yet begun when we told it to
            starved = status == -signal.SIGKILL and memory.kernel_kills() > kernel_kills
            how = _how(status) + (" by the kernel, for lack of memory" if starved else "")
            if not words:
                log.warning("a worker process ended: %s", how)
            telling.add(asyncio.create_task(self._tell(session, how, tail)))
            if status == USAGE_STATUS:
                self._status, self._words = status, self._words or words
                self.stop()
                break
            pause = FIRST_PAUSE if loop.time() - began >= GOOD_LIFE else pause
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(pause * 2, LONGEST_PAUSE)
            telling = {one for one in telling if not one.done()}
        if telling and (self._connected.is_set() or not self._words):  # who could not start has nothing to give back
            await asyncio.wait(telling, timeout=TELL_TIMEOUT)
        for one in telling:
            one.cancel()

    async def _live(self, session: SessionId) -> Gone:
        """Start a child and wait for its end."""
        lifeline = Lifeline()
        environment = os.environ | {
            "PYTHONHASHSEED": "0",
            SESSION_VARIABLE: session,
            ADVISES_VARIABLE: "0" if self._advised else "1",
            **lifeline.variable,
        }
        self._advised = True
        try:
            # Its own session: a Ctrl-C at the terminal is ours, and reaches the child as one SIGTERM.
            child = await asyncio.create_subprocess_exec(
                *self._command,
                env=environment,
                pass_fds=lifeline.ends,
                stdin=DEVNULL,
                stderr=lifeline.stderr,
                start_new_session=True,
            )
        except OSError as error:
            lifeline.started()
            lifeline.close()
            return Gone(USAGE_STATUS, f"a worker process cannot be started with {self._command[0]}: {error}")
        lifeline.started()
        self._children[session] = child
        if self._stopping.is_set():
            child.terminate()
        try:
            status = await child.wait()
            return Gone(
                status,
                lifeline.words() if status == USAGE_STATUS else "",
                await lifeline.stderr_tail() if status else "",
            )
        finally:
            del self._children[session]
            lifeline.close()
            if child.returncode is None:
                child.kill()

    async def _tell(self, session: SessionId, how: str, tail: str) -> None:
        await self._connected.wait()
        body = pack([ChildDied(session=session, how=how, tail=tail)])[0]
        message = Outgoing(self._names.reports, REPORTS_KEY, body, {envelope.SESSION: session})
        await self._say(message)
        repeat = asyncio.create_task(self._repeat(message))
        self._repeats.add(repeat)
        repeat.add_done_callback(self._repeats.discard)

    async def _repeat(self, message: Outgoing) -> None:
        for pause in TELL_AGAIN:
            await asyncio.sleep(pause)
            await self._say(message)

    async def _say(self, message: Outgoing) -> None:
        for _ in range(TELL_TIMES):
            sent = await self._bus.publish([message], timeout=TELL_TIMEOUT)
            if sent and sent[0].confirmed:
                return
            await asyncio.sleep(1.0)


def _how(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
