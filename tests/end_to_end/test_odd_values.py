"""Values and failures at the edge of what can travel: too long, garbled, endless, or too many for one message."""

from __future__ import annotations

import asyncio

import pytest

from longshore import Client, EncodingError, RunFailed
from tests.end_to_end.house import House
from tests.end_to_end.routines import bulky, echo, garble, length, shout

INLINE = 60_000
"""Travels in the message itself."""


async def test_an_exception_with_five_megabytes_of_text_arrives_shortened(client: Client) -> None:
    run = await client.trigger(shout(5_000_000))
    with pytest.raises(RunFailed, match="bytes left out") as caught:
        await run.result(timeout=10)
    assert len(str(caught.value)) < 10_000
    assert (await run.info())["error"]["type"] == "builtins.ValueError"


@pytest.mark.parametrize("how", ["error", "result", "endless"])
async def test_what_cannot_travel_fails_its_run_alone(client: Client, how: str) -> None:
    run = await client.trigger(garble(how))
    with pytest.raises(RunFailed) as caught:
        await run.result(timeout=10)
    if how != "error":
        assert isinstance(caught.value.__cause__, EncodingError)
    assert await client.run(echo("others go on"), timeout=10) == "others go on"


async def test_progress_that_cannot_travel_harms_nobody(client: Client) -> None:
    run = await client.trigger(garble("progress"))
    assert [change.status async for change in run.watch()][-1] == "COMPLETED"
    assert await client.run(echo(1), timeout=10) == 1


async def test_an_argument_that_cannot_travel_is_refused_before_anything_is_sent(client: Client) -> None:
    for value in ("\ud800", [object()], {"deep": [{"deeper": {1: {2: object()}}}]}):
        with pytest.raises(EncodingError):
            await client.trigger(echo(value))
    with pytest.raises(EncodingError):
        await client.trigger("echo", args=[object()])


async def test_many_values_that_fit_alone_are_split_over_messages(client: Client) -> None:
    assert await client.run(bulky(150, INLINE), timeout=40) == 2 * 150 * INLINE


async def test_many_triggers_that_fit_alone_are_split_over_messages(client: Client) -> None:
    runs = await client.trigger_many([length(b"y" * INLINE) for _ in range(200)])
    assert await asyncio.gather(*(run.result(timeout=30) for run in runs)) == [INLINE] * 200


async def test_texts_of_every_language_go_round(house: House, client: Client) -> None:
    text = "Grüße, 世界, \U0001f6a2 \x00 \n"
    assert await client.run(echo(text), timeout=10) == text
    shown = house.run("trigger", "echo", "--args", '["世界 \U0001f6a2"]', "--wait")
    assert shown.returncode == 0 and "世界 \U0001f6a2" in shown.stdout
