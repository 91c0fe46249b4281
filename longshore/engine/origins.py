"""Which function of asyncio makes a task, where that decides its address, and two functions that are alike everywhere.

- Python 3.11's `wait_for` makes an asyncio task, so that others go first even where nothing is to be waited for; 3.12's
  does not. Inside workflows 3.12's is put in its place. Where one makes a task, it shares its parent's scope.
- asyncio's own `as_completed` makes its tasks in the order of a set of coroutines, which is another in each process.
  Ours, put in its place with the first workflow, makes them in the order given; on any other loop it is asyncio's.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import functools
import sys
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any, Final

from longshore.core.errors import ForbiddenInWorkflow
from longshore.engine.guards import HERE, refusal

_ORIGINAL: Final = asyncio.tasks.as_completed


def _codes(function: Any) -> Iterator[CodeType]:
    code: CodeType = function.__code__
    yield code
    yield from (inner for inner in code.co_consts if isinstance(inner, CodeType))  # comprehensions, before 3.12


_ENSURE: Final = frozenset(
    function.__code__
    for function in (asyncio.tasks.ensure_future, getattr(asyncio.tasks, "_ensure_future", None))
    if function is not None
)
_ORIGINAL_WAIT_FOR: Final = asyncio.tasks.wait_for
_WAIT_FOR: Final = _ORIGINAL_WAIT_FOR.__code__
_ITERATOR: Final = getattr(asyncio.tasks, "_AsCompletedIterator", None)  # from 3.13 on
_AS_COMPLETED: Final = frozenset(_codes(_ORIGINAL if _ITERATOR is None else _ITERATOR.__init__))


def made_by_wait_for(depth: int) -> bool:
    """Whether the function `depth` frames above the caller was called to make the task of a `wait_for`.

    Raises ForbiddenInWorkflow when it was called by asyncio's own `as_completed`.
    """
    frame = sys._getframe(depth + 1)
    if frame.f_code not in _ENSURE:
        return False
    while frame.f_code in _ENSURE and frame.f_back is not None:
        frame = frame.f_back
    if frame.f_code in _AS_COMPLETED:
        raise refusal(
            "use the original as_completed, whose order is by chance",
            "write asyncio.as_completed(...) where you use a name imported from asyncio, or pass tasks",
        )
    return frame.f_code is _WAIT_FOR


@functools.wraps(_ORIGINAL)
def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
    """`asyncio.as_completed`; inside a workflow its tasks are made in the order given."""
    if HERE.loop is not None and not asyncio.iscoroutine(fs) and not asyncio.isfuture(fs):
        if isinstance(fs, set | frozenset) and not all(map(asyncio.isfuture, fs)):
            raise ForbiddenInWorkflow(
                "asyncio.as_completed was given a set of coroutines, whose order is another in each process: give it "
                "a list, or tasks made with asyncio.create_task"
            )
        fs = [asyncio.ensure_future(one) for one in dict.fromkeys(fs)]
    return _ORIGINAL(fs, timeout=timeout)


@functools.wraps(asyncio.tasks.wait_for)
async def wait_for(fut: Any, timeout: float | None) -> Any:
    """`asyncio.wait_for`; inside a workflow as it is from Python 3.12 on."""
    if HERE.loop is None or (timeout is not None and timeout <= 0):
        return await _ORIGINAL_WAIT_FOR(fut, timeout)
    async with asyncio.timeout(timeout):
        return await fut


def install() -> None:
    """Put these in the place of asyncio's."""
    asyncio.as_completed = asyncio.tasks.as_completed = as_completed
    if sys.version_info < (3, 12):
        asyncio.wait_for = asyncio.tasks.wait_for = wait_for
