"""The engine in force inside a task."""

from __future__ import annotations

import pytest

from longshore import NoRunError, UsageError, context, define
from longshore.core.ids import RunId
from longshore.engine import TaskEngine, enter_task
from longshore.routines import CURRENT_ENGINE
from longshore.routines.context import RunContext


@define.task(name="f", version="1.0.0")
def f() -> int:
    return 1


async def test_inside_a_task_the_context_is_its_own_and_calling_a_routine_names_define_workflow() -> None:
    with enter_task(RunContext(RunId("r"), routine="outer@1.0.0")) as run:
        assert context.run_id == run.run_id == "r"
        assert isinstance(CURRENT_ENGINE.get(), TaskEngine)
        with pytest.raises(
            UsageError, match=r"outer@1\.0\.0 calls f@1\.0\.0.*@define\.workflow.*f\.function\(\.\.\.\)"
        ):
            await f()
    assert CURRENT_ENGINE.get() is None
    with pytest.raises(NoRunError):
        _ = context.run_id
