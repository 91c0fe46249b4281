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
from collections.abc import Callable, Sequence
from typing import Final

from longshore.broker.bus import Bus, Outgoing
from longshore.core import envelope
from longshore.core.envelope import Names
from longshore.core.errors import BrokerUnavailableError
from longshore.core.ids import SessionId
from longshore.core.message import ChildDied
from longshore.serialization.envelope import pack
from longshore.worker.config import SESSION_VARIABLE, SUPERVISOR_VARIABLE, new_session
from longshore.worker.desk import log
from longshore.worker.parent import die_with_parent
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
        self._connected = asyncio.Event()

    async def run(self) -> int:
        """Until told to stop, or no child is left: the exit status for this process."""
        async with asyncio.TaskGroup() as group:
            connecting = group.create_task(self._connect())
            async with asyncio.TaskGroup() as keeping:
                for _ in range(self._processes):
                    keeping.create_task(self._keep_one())
            connecting.cancel()
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
            status = await self._live(session)
            if status == 0:
                break
            how = _how(status)
            log.warning("a worker process ended: %s", how)
            telling.add(asyncio.create_task(self._tell(session, how)))
            if status == USAGE_STATUS:
                self._status = status
                self.stop()
                break
            pause = FIRST_PAUSE if loop.time() - began >= GOOD_LIFE else pause
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(pause * 2, LONGEST_PAUSE)
            telling = {one for one in telling if not one.done()}
        if telling:
            await asyncio.wait(telling, timeout=TELL_TIMEOUT)
        for one in telling:
            one.cancel()

    async def _live(self, session: SessionId) -> int:
        """Start a child and wait for its end: its exit status, negative for a signal."""
        ours, theirs = os.pipe()  # we never write: the child reads its end when we are gone
        environment = os.environ | {
            "PYTHONHASHSEED": "0",
            SESSION_VARIABLE: session,
            SUPERVISOR_VARIABLE: f"{os.getpid()}:{ours}",
        }
        try:
            # Its own session: a Ctrl-C at the terminal is ours, and reaches the child as one SIGTERM.
            child = await asyncio.create_subprocess_exec(
                *self._command, env=environment, pass_fds=[ours], stdin=DEVNULL, start_new_session=True
            )
        except OSError as error:
            log.error("a worker process cannot be started with %s: %s", self._command[0], error)
            os.close(theirs)
            return USAGE_STATUS
        finally:
            os.close(ours)
        self._children[session] = child
        if self._stopping.is_set():
            child.terminate()
        try:
            return await child.wait()
        finally:
            del self._children[session]
            os.close(theirs)
            if child.returncode is None:
                child.kill()

    async def _tell(self, session: SessionId, how: str) -> None:
        await self._connected.wait()
        body = pack([ChildDied(session=session, how=how)])[0]
        message = Outgoing(self._names.reports, REPORTS_KEY, body, {envelope.SESSION: session})
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


def heed_supervisor(drain: Callable[[], None]) -> None:
    """In a worker process: call `drain` on the running loop when the supervisor that started it (if one did) is
    gone."""
    pid, _, end = os.environ.get(SUPERVISOR_VARIABLE, "").partition(":")
    if not pid.isdigit() or not end.isdigit():
        return
    loop, pipe = asyncio.get_running_loop(), int(end)

    def over() -> None:
        loop.remove_reader(pipe)
        drain()

    loop.add_reader(pipe, over)
    die_with_parent(signal.SIGTERM, int(pid))
