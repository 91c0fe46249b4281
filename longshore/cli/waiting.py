"""Waiting for a run before somebody's eyes: its changes, and after 5 s the reason. It never cancels a run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from longshore.cli.fields import as_fields, why_text
from longshore.cli.problems import FAILED, StoppedWaiting, WaitedLongEnough, explain
from longshore.cli.screen import Screen, to_json
from longshore.core.errors import RunError, UnavailableError

if TYPE_CHECKING:
    from longshore.client import Run

ASK_AFTER: Final = 5.0
"""Seconds of waiting after which the reason is shown; then each time it changed."""
FEW: Final = 6
_TO_AND_FRO: Final = frozenset({"EXECUTING", "HANGING"})
FIRST_LOOK: Final = 5.0
"""Seconds that the first look at a run may take, however short the time to wait is."""
LAST_WORD: Final = 2.0
"""Seconds that the list of changes has to come to its end once the result is there."""


def change_line(change: Any) -> str:
    """A change of status on one line."""
    fields = as_fields(change)
    attempt = f" (attempt {fields['attempt']})" if (fields.get("attempt") or 0) > 1 else ""
    reason = f": {fields['reason']}" if fields.get("reason") else ""
    return f"{fields['status']}{attempt}{reason}"


class Lines:
    """The changes of one run as lines. How far it is stands in the moving line, or is a line each time it is news. A
    workflow that goes to and fro between asking and waiting is a line a second after the first few."""

    def __init__(self, screen: Screen, run_id: str, moving: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._screen = screen
        self._run_id = run_id
        self._moving = moving
        self._clock = clock
        self._last = ""
        self._to_and_fro = 0
        self._told_at = 0.0

    def tells(self, change: Any) -> bool:
        """Whether this change is worth a line; it is in the moving line in any case."""
        self._moving(f"{self._run_id}  {change.status}  {change.reason}")
        line, self._last = self._last, change_line(change)
        if not change.seq:
            return not self._screen.moving and line != self._last
        self._to_and_fro = self._to_and_fro + 1 if change.status in _TO_AND_FRO else 0
        if self._to_and_fro > FEW and (change.status != "HANGING" or self._clock() - self._told_at < 1):
            return False
        self._told_at = self._clock()
        return True


async def watch_to_the_end(screen: Screen, run: Run[Any], *, patience: float | None) -> int:
    """Show each change until the run has ended; 0 when it completed. Raises what `follow` raises."""
    status = ""
    loop = asyncio.get_running_loop()
    until = None if patience is None else loop.time() + patience
    try:
        # Look, then wait: what has happened until now is shown even if there is no time left to wait.
        async with asyncio.timeout(None if patience is None else max(patience, FIRST_LOOK)) as bound:
            with screen.status(run.id) as moving:
                lines = Lines(screen, run.id, moving)
                async for change in run.watch():
                    if not status:
                        bound.reschedule(until)
                    status = change.status
                    if screen.as_json:
                        screen.line(as_fields(change))
                    elif lines.tells(change):
                        screen.text(change_line(change))
    except TimeoutError:
        raise WaitedLongEnough(run.id, patience or 0) from None
    except asyncio.CancelledError:
        raise StoppedWaiting(run.id) from None
    return 0 if status == "COMPLETED" else FAILED


async def follow(screen: Screen, run: Run[Any], *, patience: float | None, **more: Any) -> int:
    """Wait for the end and print the result; gives the exit status. `more` is what its JSON tells beside it.

    Raises WaitedLongEnough when `patience` seconds are over, StoppedWaiting on Ctrl-C; the run goes on in both cases.
    """
    try:
        async with asyncio.timeout(patience):
            return await _to_the_end(screen, run, more)
    except TimeoutError:
        raise WaitedLongEnough(run.id, patience or 0) from None
    except asyncio.CancelledError:
        raise StoppedWaiting(run.id) from None


async def begun(screen: Screen, run: Run[Any], *, wait: bool, patience: float | None, **more: Any) -> int:
    """A run was started: wait for its end as `follow` does where that is asked, else say where it stands. `more` is
    what its JSON tells beside it."""
    if wait:
        return await follow(screen, run, patience=patience, **more)
    info = await run.info()
    status, why = info["status"], info["why_waiting"]
    if screen.as_json:
        screen.document({"run_id": run.id, "status": status, **more, "why_waiting": why})
        return 0
    screen.text(run.id)
    if status == "PENDING_VERSION":
        screen.remark(f"it waits: {why_text(why)}", style="yellow")
    screen.remark(f"{status}; `longshore runs watch {run.id}` follows it")
    return 0


async def _to_the_end(screen: Screen, run: Run[Any], more: dict[str, Any]) -> int:
    logging.getLogger("longshore.client").addHandler(logging.NullHandler())  # the reasons are said here
    with screen.status(run.id) as spinner:
        changes = asyncio.create_task(_changes(screen, run, spinner))
        reasons = asyncio.create_task(_reasons(screen, run))
        try:
            ending = await _ending(run)
            await asyncio.wait([changes], timeout=LAST_WORD)
        finally:
            for beside in (changes, reasons):
                beside.cancel()
            await asyncio.gather(changes, reasons, return_exceptions=True)
    return await _show(screen, run, ending, more)


async def _ending(run: Run[Any]) -> Any:
    try:
        return await run.result()
    except RunError as error:
        return error


async def _changes(screen: Screen, run: Run[Any], spinner: Any) -> None:
    lines = Lines(screen, run.id, spinner)
    async for change in run.watch():
        if lines.tells(change):
            screen.remark(change_line(change))


async def _reasons(screen: Screen, run: Run[Any]) -> None:
    said = ""
    while True:
        await asyncio.sleep(ASK_AFTER)
        try:
            why = await run.why_waiting()
        except UnavailableError:
            continue
        text = why_text(why)
        if text and text != said:
            screen.remark(f"still waiting: {text}", style="yellow")
            said = text


async def _show(screen: Screen, run: Run[Any], ending: Any, more: dict[str, Any]) -> int:
    failed = isinstance(ending, RunError)
    if screen.as_json:
        info = as_fields(await run.info()) | more
        screen.document(info if failed else {**info, "result": ending})
        return FAILED if failed else 0
    if failed:
        problem = explain(ending)
        if problem is not None:
            screen.problem(problem)
        return FAILED
    screen.text(to_json(ending))
    return 0
