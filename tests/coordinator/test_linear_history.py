"""A hundred orders at once on one run, by many clients of a real coordinator: its history is one line."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

from longshore.core.message import Annotate, Answer, Cancel, Command, Edit, Pause, Reschedule, Resume, Signal
from longshore.core.run import FINAL
from tests.coordinator.conftest import Site
from tests.coordinator.peers import WITHIN, Caller, new_run_id, workflow
from tests.support.wait import eventually

EACH = 10
CANCEL = "9"
"""Which of the orders it is: what is canceling already is told so, and that is no error."""
CALLERS = 10


def orders(run_id: Any, name: str) -> list[Command]:
    """Ten orders of one caller."""
    found: list[Command] = [
        Pause(run_id, "ann"),
        Resume(run_id, "bob"),
        Signal(run_id, "go", b"x", f"{name}-s"),
        Annotate(run_id, [Edit("increment", "n", 1)], f"{name}-1"),
        Annotate(run_id, [Edit("increment", "n", 1), Edit("set", name, 1)], f"{name}-2"),
        Reschedule(run_id, 1000),
        Pause(run_id, "cid"),
        Annotate(run_id, [Edit("append", "n", 1)], f"{name}-3"),
        Resume(run_id, "dan"),
        Cancel(run_id, "enough"),
    ]
    for number, one in enumerate(found):
        one.ask_id, one.reply_to = f"{name}-{number}", name  # type: ignore[union-attr]
    return found


def has_all(caller: Caller) -> bool:
    return len(answers(caller)) >= EACH


async def test_a_hundred_orders_at_once_leave_one_line_and_each_is_answered_once(site: Site) -> None:
    await site.coordinator()
    worker = await site.worker()
    await worker.join(workflow())
    callers = [await site.caller() for _ in range(CALLERS)]
    run_id = await callers[0].trigger("wf", wants="accepted", run_id=new_run_id())
    await worker.start(run_id)
    chance = random.Random(7)

    async def give(caller: Caller) -> None:
        own = orders(run_id, caller.key)
        last = own.pop()
        chance.shuffle(own)
        for one in own:
            await caller.command(one)
        await caller.command(last)

    await asyncio.gather(*map(give, callers))
    for caller in callers:
        await eventually(partial(has_all, caller), within=WITHIN)
        assert sorted(one.ask_id for one in answers(caller)) == sorted(f"{caller.key}-{n}" for n in range(EACH))
    rows = await callers[0].data("history", run_id, limit=1000)
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    stands = ""
    for row in rows:
        assert row["from_status"] == stands, row
        assert row["valid"] or row["to_status"] == stands, row
        stands = row["to_status"]
    info = await callers[0].data("run", run_id)
    assert info["status"] == stands and stands in {"CANCELING", *FINAL}
    refused = [one.ask_id.rpartition("-")[2] for caller in callers for one in answers(caller) if one.error is not None]
    told = [row["reason"].partition(":")[0] for row in rows if not row["valid"]]
    assert told.count("cancel refused") == CALLERS - 1, "one cancel counts"
    others = [number for number in refused if number != CANCEL]
    assert len([word for word in told if word != "cancel refused"]) == len(others)
    done = sum(1 for caller in callers for one in answers(caller) if one.error is None and values(one).get("n"))
    assert info["metadata"]["n"] == done == max(values(one).get("n", 0) for c in callers for one in answers(c))


def answers(caller: Caller) -> list[Answer]:
    return [one for one in caller.replies if isinstance(one, Answer) and one.ask_id.startswith(caller.key)]


def values(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = (answer.data or {}).get("values", {})
    return found
