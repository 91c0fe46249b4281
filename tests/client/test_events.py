"""What a client hears of all runs: what fits, and where something is missed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from longshore.broker.bus import Outgoing
from longshore.broker.local import LocalRouter
from longshore.client import Client
from longshore.client.events import NOTHING, Hearing
from longshore.client.link import EVENTS_KEPT, EVENTS_PREFETCH
from longshore.core.envelope import EVENTS_KEY, JSON, Names
from longshore.core.errors import UsageError
from tests.support.wait import eventually

BODY = b"[{}]"


def at(number: int, stream: str = "s", **more: int) -> dict[str, Any]:
    return {"stream": stream, "number": number, **more}


def test_bodies_in_their_order_are_no_gap_nor_are_those_that_come_twice() -> None:
    hearing = Hearing()
    came = [(4, NOTHING), (5, BODY), (6, BODY), (5, BODY), (6, BODY), (7, BODY), (7, NOTHING)]
    assert [hearing.missed(at(number), body) for number, body in came] == [""] * len(came)


def test_a_number_that_is_left_out_is_a_gap() -> None:
    hearing = Hearing()
    assert hearing.missed(at(1), BODY) == ""
    assert hearing.missed(at(4), BODY) == "2 bodies of changes were given up, unread"
    assert hearing.missed(at(5), BODY) == ""
    assert hearing.missed(at(6), NOTHING) == "1 bodies of changes were given up, unread"


def test_the_next_coordinator_goes_on_from_one() -> None:
    hearing = Hearing()
    hearing.missed(at(9), BODY)
    assert hearing.missed(at(0, "t"), NOTHING) == hearing.missed(at(1, "t"), BODY) == ""
    assert hearing.missed(at(2, "u"), BODY) == "1 bodies of changes were given up, unread"


def test_who_was_not_heard_for_a_while_is_told_and_who_is_new_is_not() -> None:
    hearing = Hearing()
    assert hearing.missed(at(3, anew=1), NOTHING) == ""
    assert hearing.missed(at(3, anew=1), NOTHING) == "the coordinator heard nobody listen for a while"


def test_after_a_lost_link_any_number_may_come_and_an_unheard_while_is_told() -> None:
    hearing = Hearing()
    hearing.missed(at(3), BODY)
    assert "link" in hearing.rebound()
    assert hearing.missed(at(9), BODY) == ""
    assert "link" in hearing.rebound()
    assert hearing.missed(at(11, anew=1), NOTHING)


def test_bodies_without_numbers_are_taken_as_they_are() -> None:
    hearing = Hearing()
    assert [hearing.missed({}, BODY) for _ in range(3)] == ["", "", ""]


class Speaker:
    """Says bodies on the events exchange."""

    def __init__(self, router: LocalRouter, names: Names) -> None:
        self.bus = router.bus(user="coordinator")
        self.names = names
        self.number = 0

    async def say(self, *changes: dict[str, Any], body: bytes | None = None) -> bool:
        """One body; whether somebody is bound."""
        headers: Any = {"stream": "s", "number": self.number + 1}
        given = json.dumps(changes).encode() if body is None else body
        (sent,) = await self.bus.publish(
            [Outgoing(self.names.events, EVENTS_KEY, given, headers, content_type=JSON)], timeout=5
        )
        self.number += sent.confirmed
        return sent.confirmed


@pytest.fixture
async def speaker(router: LocalRouter, names: Names) -> AsyncIterator[Speaker]:
    speaker = Speaker(router, names)
    await speaker.bus.open(timeout=5)
    yield speaker
    await speaker.bus.close()


def change(run_id: str, routine: str = "add", to_status: str = "QUEUED", root_id: str = "") -> dict[str, Any]:
    return {"run_id": run_id, "routine": routine, "version": "1.0.0", "to_status": to_status, "root_id": root_id}


A = "01a20159-0000-7000-8000-00000000000a"


async def test_what_fits_is_heard(client: Client, speaker: Speaker) -> None:
    wanted = [
        {},
        {"routine": "add"},
        {"routine": "add@2"},
        {"status": "failed"},
        {"run_id": A},
        {"routine": "add@1.0.0", "status": "QUEUED"},
    ]
    heard: list[list[str]] = [[] for _ in wanted]

    async def listen(place: int) -> None:
        async for one in client.events(**wanted[place]):
            assert not one.gap
            heard[place].append(one.run_id)

    listening = [asyncio.create_task(listen(place)) for place in range(len(wanted))]

    async def all_listen() -> bool:
        await speaker.say(change("0"), change("0", "", "FAILED", A))
        return all(heard[place] for place in (0, 1, 3, 4, 5))

    await eventually(all_listen, within=5)
    await speaker.say(change(A), change("b", "sub", root_id=A), change("c", to_status="FAILED"))
    await speaker.say(body=b"no json")
    await speaker.say(change("d"))
    await eventually(lambda: heard[0][-1] == "d", within=5)
    for one in listening:
        one.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    assert [list(dict.fromkeys(ids)) for ids in heard] == [
        ["0", A, "b", "c", "d"],
        ["0", A, "c", "d"],
        [],
        ["0", "c"],
        ["0", A, "b"],
        ["0", A, "d"],
    ]


async def test_who_reads_too_slowly_is_told_what_was_given_up(client: Client, speaker: Speaker) -> None:
    events = client.events(routine="none")
    first = asyncio.ensure_future(anext(events))
    await eventually(lambda: speaker.say(change("0", "none")), within=5)
    assert (await first).run_id == "0"
    said = EVENTS_KEPT + EVENTS_PREFETCH + 50
    for number in range(1, said):
        await speaker.say(change(str(number)))
    await speaker.say(change("last", "none"))
    told = await asyncio.wait_for(anext(events), 5)
    assert told.gap and told.run_id == "" and "bodies of changes were given up" in told.reason
    assert told.keys() >= {"seq", "from_status", "to_status", "at", "routine", "tags", "valid", "root_id"}
    assert (await asyncio.wait_for(anext(events), 5)).run_id == "last"
    await events.aclose()  # type: ignore[attr-defined]


async def test_a_status_that_is_none_is_refused(client: Client) -> None:
    with pytest.raises(UsageError, match="is no status"):
        await anext(client.events(status="gone"))
