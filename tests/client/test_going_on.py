"""Resuming a BLOCKED run and reading a recorded journal, against a scripted coordinator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from longshore.client import Client
from longshore.client.person import person
from longshore.core.errors import Rejected, UnavailableError, UsageError
from longshore.core.ids import Address, RunId
from longshore.core.message import Ask, CallRow, ClaimCheck, Delivery, Failure, Recorded
from tests.client.routines import slow
from tests.client.scripted import Scripted

AT = datetime(2026, 1, 1, tzinfo=UTC)
RUN = RunId("0190b3a4-0000-7000-8000-000000000001")


async def test_a_blocked_run_is_resumed_by_somebody_and_any_other_is_refused(
    client: Client, coordinator: Scripted
) -> None:
    run = await client.trigger(slow())
    coordinator.statuses[run.id] = "BLOCKED"
    await run.resume("new module")
    (order,) = coordinator.resumes
    assert (order.run_id, order.reason, order.by) == (run.id, "new module", person())
    with pytest.raises(Rejected, match="is QUEUED; only what is BLOCKED can be resumed") as refused:
        await client.resume(run.id)
    assert (refused.value.rule, refused.value.run_id) == ("not_blocked", run.id)
    with pytest.raises(UsageError, match="is no run id"):
        await client.resume("that one")


async def test_a_run_is_forked_under_an_id_of_its_own_and_its_handle_gives_the_result(
    client: Client, coordinator: Scripted
) -> None:
    run = await client.trigger(slow())
    fork = await run.fork(at="0/3:1", version="2.0.0")
    (order,) = coordinator.forks
    assert (order.run_id, order.at, order.version, order.by) == (run.id, "0/3:1", "2.0.0", person())
    assert (order.fork_id, fork.routine) == (fork.id, run.routine)
    await coordinator.finish(fork.id, 7)
    assert await fork.result(timeout=5) == 7
    own = await client.fork(run.id, at="0:0", fork_id=RUN)
    assert own.id == RUN
    with pytest.raises(Rejected, match="no call is recorded there") as refused:
        await client.fork(run.id, at="nowhere")
    assert (refused.value.rule, refused.value.run_id) == ("unknown_address", run.id)
    for wrong in ({"at": ""}, {"at": 7}, {"at": "0:0", "version": 2}, {"at": "0:0", "fork_id": "mine"}):
        with pytest.raises(UsageError):
            await run.fork(**wrong)
    assert len(coordinator.forks) == 3


def test_who_resumes_has_a_name_even_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    assert person().startswith("ann@")
    assert not person().endswith("@")


def a_page(number: int, *, generation: int = 0, more: bool = False) -> dict[str, Any]:
    """What the coordinator would answer."""
    check = ClaimCheck("runs/x", 9, "0" * 64)
    page = Recorded(RUN, "flow", "1.0.0", "HANGING", 1, generation, AT, 4, 3, more=more, after=number + 1)
    page.calls = [CallRow(Address(f"0:{number}"), "call", "f", "d", number, place="f.py:1")]
    failure = Failure("builtins.ValueError", "boom", value=b"\x93")
    page.deliveries = [
        Delivery(number + 1, "outcome", Address(f"0:{number}"), AT, "COMPLETED", check if number else b"\x01", failure)
    ]
    page.address = f"0:{number}"
    data: dict[str, Any] = msgspec.to_builtins(page, builtin_types=(bytes,))
    return data


async def test_a_journal_comes_in_pages_and_is_one(client: Client, coordinator: Scripted) -> None:
    def answer(ask: Ask) -> dict[str, Any]:
        number = ask.params.get("after", 0)
        assert ask.params.get("address", "") == (f"0:{number - 1}" if number else "")
        return a_page(number, more=number < 2)

    coordinator.answers["journal"] = answer
    journal = await client.handle(RUN).journal()
    assert [row.address for row in journal.calls] == ["0:0", "0:1", "0:2"]
    assert [one.seq for one in journal.deliveries] == [1, 2, 3]
    assert journal.deliveries[0].result == b"\x01" and journal.deliveries[0].at == AT
    assert isinstance(journal.deliveries[1].result, ClaimCheck)
    assert journal.deliveries[0].error is not None and journal.deliveries[0].error.value == b"\x93"
    assert (journal.started_at, journal.more) == (AT, False)


async def test_a_run_that_continues_meanwhile_is_read_anew(client: Client, coordinator: Scripted) -> None:
    asked: list[int] = []

    def answer(ask: Ask) -> dict[str, Any]:
        asked.append(ask.params.get("after", 0))
        return a_page(asked[-1], generation=min(len(asked) // 2, 1), more=asked[-1] < 1)

    coordinator.answers["journal"] = answer
    journal = await client.handle(RUN).journal()
    assert (journal.generation, asked) == (1, [0, 1, 0, 1])
    assert [row.address for row in journal.calls] == ["0:0", "0:1"]


async def test_a_run_that_always_continues_meanwhile_says_so(client: Client, coordinator: Scripted) -> None:
    asked: list[int] = []

    def answer(ask: Ask) -> dict[str, Any]:
        asked.append(0)
        return a_page(ask.params.get("after", 0), generation=len(asked), more=True)

    coordinator.answers["journal"] = answer
    with pytest.raises(UnavailableError, match="continues faster than its journal can be read; try again later"):
        await client.handle(RUN).journal()
