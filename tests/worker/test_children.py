"""What a worker says of the calls of a workflow, and what it is told of their ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore import define
from longshore.core import message
from longshore.core.errors import (
    RunCanceled,
    RunCrashed,
    RunError,
    RunExpired,
    RunFailed,
    RunSystemFailure,
    RunTimedOut,
)
from longshore.core.ids import Address, RunId
from longshore.core.message import Deliver, Delivery, Failure, Start
from longshore.engine.steps import NewCall, Raised
from longshore.payloads import Cargo, open_store
from longshore.routines.routine import Call, Routine
from longshore.worker.asking import Asked, commands
from longshore.worker.attempt import Attempt
from longshore.worker.bench import Bench
from longshore.worker.flow import Flow
from tests.engine.book import START
from tests.engine.steps import f


@define.action(name="lasting", version="1.0.0", on_parent_end="abandon")
def lasting(x: int = 0) -> int:
    return x


@define.workflow(name="calls", version="1.0.0")
async def calls() -> int:
    found: int = await f(1)
    return found


@define.task(name="cached", version="1.0.0")
def cached(x: int) -> int:
    return x


def attempt_of(routine: Routine[[], int] = calls) -> Attempt:
    return Attempt(Start(RunId("r"), 1, 1, routine.name, "1.0.0", started_at=START), routine)


def travelling(tmp_path: Path, call: Call[int], parent: Routine[[], int] = calls) -> message.Call:
    """The call as it travels."""
    bench = Bench(Cargo(open_store(f"file:{tmp_path}"), 1000), "p")
    asked = NewCall(Address("0:0"), call, "d", "f:1", 0, bench.freeze([list(call.arguments.args), {}]))
    call.take()
    (one,) = commands(bench, Asked(attempt_of(parent), 0, [asked], [], []))
    return one.calls[0]


def said(tmp_path: Path, call: Call[int]) -> str | None:
    """What travels as the call's `on_parent_end`."""
    options = travelling(tmp_path, call).options
    return None if options is None else options.on_parent_end


def test_a_call_says_what_becomes_of_it_else_the_called_routine_does(tmp_path: Path) -> None:
    assert said(tmp_path, f(1)) is None
    assert said(tmp_path, f(1).using(tags=["a"])) == ""
    assert said(tmp_path, f(1).using(on_parent_end="abandon")) == "abandon"
    assert said(tmp_path, lasting()) == said(tmp_path, lasting().using(tags=["a"])) == "abandon"
    assert said(tmp_path, lasting().using(on_parent_end="cancel")) == "cancel"


@define.workflow(name="fresh", version="1.0.0", children_version="latest")
async def fresh() -> int:
    found: int = await f(1)
    return found


@pytest.mark.parametrize(
    ("parent", "said", "version"),
    [
        (calls, "", "1.0.0"),
        (calls, "latest", ""),
        (calls, "2.0.0", "2.0.0"),
        (fresh, "", ""),
        (fresh, "pinned", "1.0.0"),
        (fresh, "2.0.0", "2.0.0"),
    ],
)
def test_a_call_asks_for_the_version_imported_beside_its_workflow_unless_call_or_workflow_says_otherwise(
    tmp_path: Path, parent: Routine[[], int], said: str, version: str
) -> None:
    call = cached(1).using(version=said, tags=["a"]) if said else cached(1)
    (travels,) = [travelling(tmp_path, call, parent)]
    assert travels.version == version
    assert bool(travels.cache_key) == (version == "1.0.0"), "another version may bind other arguments"
    assert travels.options is None or (travels.options.tags, travels.options.version) == (["a"], "")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("CRASHED", RunCrashed),
        ("TIMED_OUT", RunTimedOut),
        ("EXPIRED", RunExpired),
        ("CANCELED", RunCanceled),
        ("SYSTEM_FAILURE", RunSystemFailure),
        ("FAILED", RunFailed),
    ],
)
def test_each_end_of_a_child_becomes_its_exception_with_what_was_said_of_it(status: str, kind: type[RunError]) -> None:
    flow = Flow(attempt_of(), [__name__])
    flow.prepare(calls.function)
    assert flow.step()
    failure = None if status == "FAILED" else Failure("builtins.ValueError", "what was said", value=b"")
    delivery = Delivery(1, "outcome", Address("0:0"), START, status, error=failure, child_id=RunId("c"))
    flow.deliver(Deliver(RunId("r"), 1, [delivery]))
    assert flow.step() and isinstance(flow.outcome, Raised)
    error = flow.outcome.exception
    assert type(error) is kind and (error.run_id, error.status) == ("c", status)
    assert failure is None or "what was said" in str(error)
