"""What a task or an action does in a rehearsal: its body, here and now, in its time, with its hooks.

The verdict on how it went is the worker's own (`worker.bench`). It never tries anything again.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any

from longshore.core.message import Edit, Finished
from longshore.engine.force import enter_task
from longshore.routines.context import Voice
from longshore.serialization.arguments import Arguments, decode_arguments
from longshore.serialization.failures import encode_failure
from longshore.serialization.values import decode, encode
from longshore.testing.rehearsed import Rehearsed
from longshore.worker import hooking
from longshore.worker.attempt import Attempt
from longshore.worker.bench import COMPLETED, ended, judge
from longshore.worker.limits import stalled, timed_out


class RunVoice(Voice):
    """What the code of a run says of itself is kept with the run."""

    __slots__ = ("_attempt", "_run")

    def __init__(self, run: Rehearsed, attempt: Attempt) -> None:
        self._run = run
        self._attempt = attempt

    def progress(self, fraction: float, text: str) -> None:
        """See Voice."""
        self._attempt.show_life()

    def show_life(self) -> None:
        """See Voice."""
        self._attempt.show_life()

    def keep(self, value: Any) -> None:
        """See Voice."""
        self._run.checkpoint = encode(value).inline()
        self._attempt.show_life()

    def edit(self, target: str, edit: Edit) -> None:
        """See Voice."""
        self._run.edit(target, edit)


def execute(run: Rehearsed) -> tuple[Finished, BaseException | None]:
    """Execute the body once: the report of it, and what it raised."""
    attempt = run.new_attempt()
    attempt.context.voice = RunVoice(run, attempt)
    attempt.begin()
    try:
        arguments = arguments_of(run)
        if run.checkpoint is not None:
            attempt.context.last_checkpoint = decode(run.checkpoint)
        attempt.user_code = True
        value = _returned(attempt, arguments)
        report = completed(attempt, encode(value).inline())
    except (Exception, asyncio.CancelledError, SystemExit) as error:  # noqa: BLE001 - its own failure is its outcome
        report = failed(attempt, error)
        run_hooks(attempt, report)
        return report, attempt.overdue or error
    run_hooks(attempt, report, value)
    return report, None


def arguments_of(run: Rehearsed) -> Arguments:
    """The arguments as they come out at the other end. Raises ArgumentError and what decoding raises."""
    return run.routine.signature.bind(*decode_arguments(run.input))


def completed(attempt: Attempt, result: bytes) -> Finished:
    """The report of a body that returned."""
    return Finished(run_id=attempt.run_id, epoch=attempt.epoch, how=COMPLETED, at=datetime.now(UTC), result=result)


def failed(attempt: Attempt, error: BaseException) -> Finished:
    """The report of a body that raised."""
    attempt.error = error
    return ended(attempt, judge(attempt, error), encode_failure(attempt.overdue or error))


def run_first_hooks(attempt: Attempt) -> None:
    """Those that are due before the first attempt."""
    due = hooking.due_before(attempt)
    if due is not None:
        _apart(lambda: hooking.run(attempt, due))


def run_hooks(attempt: Attempt, report: Finished, value: Any = None) -> None:
    """Those that are due after this."""
    due = None if attempt.hooks is None else hooking.due_after(attempt, report, value)
    if due is not None:
        _apart(lambda: hooking.run(attempt, due))


def _returned(attempt: Attempt, arguments: Arguments) -> Any:
    """What the body returns. Raises what it raises, and when its time is over."""
    run_first_hooks(attempt)
    body = hooking.wrapped(attempt, attempt.routine.function)
    began = time.perf_counter()
    with enter_task(attempt.context):
        value = body(*arguments.args, **arguments.kwargs)
        if inspect.iscoroutine(value):
            return _apart(lambda: asyncio.run(_in_time(attempt, value)))
    timeout = attempt.timeout
    if timeout is not None and time.perf_counter() - began > timeout:
        attempt.overdue = timed_out(attempt)
        raise attempt.overdue
    return value


async def _in_time(attempt: Attempt, work: Any) -> Any:
    """What a coroutine gives, if it keeps to its time and gives signs of life."""
    attempt.show_life()
    feeling = asyncio.ensure_future(_feel(attempt, asyncio.current_task()))
    limit = asyncio.timeout(attempt.timeout)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if limit.expired():
            attempt.overdue = timed_out(attempt)
        raise
    finally:
        feeling.cancel()


async def _feel(attempt: Attempt, body: asyncio.Task[Any] | None) -> None:
    """Cancel the body once it has been silent for too long."""
    silence = attempt.silence
    if silence is None or body is None:
        return
    while True:
        left = attempt.alive_at + silence - time.monotonic()
        if left <= 0:
            break
        await asyncio.sleep(left)
    attempt.overdue = stalled(attempt, time.monotonic() - attempt.alive_at)
    body.cancel()


def _apart(work: Callable[[], Any]) -> Any:
    """What the work gives, in a thread of its own: the caller may be on a loop already."""
    found: list[Any] = []
    errors: list[BaseException] = []
    context = copy_context()

    def run() -> None:
        try:
            found.append(context.run(work))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="longshore-testing")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return found[0]
