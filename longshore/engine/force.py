"""The engine in force: what `await routine(...)` means inside a task, and inside a workflow. It executes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Token
from typing import Any, Final, NoReturn

from longshore.core.errors import UsageError
from longshore.routines.context import CURRENT_RUN, RunContext
from longshore.routines.routine import CURRENT_ENGINE, Call, Engine


class TaskEngine:
    """Inside a task or an action: other routines are called from workflows only."""

    def execute(self, call: Call[Any]) -> NoReturn:
        """Refuses, and says what to write."""
        run = CURRENT_RUN.get()
        caller = run.routine if run is not None else "a task"
        raise UsageError(
            f"{call.place}: {caller} calls {call.routine.id}, but only a workflow may wait for other routines: declare "
            f"the caller with @define.workflow(...) on an `async def`, or run the plain function here: "
            f"{call.routine.function.__name__}.function(...)"
        )


class WorkflowEngine:
    """Inside a workflow: a call becomes an entry of its journal, and the result arrives by delivery."""

    __slots__ = ("execute",)

    def __init__(self, ask: Callable[[Call[Any]], Awaitable[Any]]) -> None:
        self.execute = ask


TASK_ENGINE: Final = TaskEngine()


class enter_task:
    """`with enter_task(run_context):` a task's body runs in here. It costs about 1 us."""

    __slots__ = ("_engine", "_run", "_run_before")

    def __init__(self, run: RunContext) -> None:
        self._run = run

    def __enter__(self) -> RunContext:
        self._run_before: Token[RunContext | None] = CURRENT_RUN.set(self._run)
        self._engine: Token[Engine | None] = CURRENT_ENGINE.set(TASK_ENGINE)
        return self._run

    def __exit__(self, *_error: object) -> None:
        CURRENT_ENGINE.reset(self._engine)
        CURRENT_RUN.reset(self._run_before)
