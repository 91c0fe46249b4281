"""The checks of the coordinator and its clock: on a local bus where no coordinator is, and with clocks that differ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from longshore.broker.local import LocalRouter
from longshore.broker.local_socket import serve
from longshore.cli.checks_bus import check_bus, check_coordinator, compare_clocks
from longshore.core.envelope import Names
from longshore.settings import load

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
async def lonely_bus(tmp_path: Path) -> AsyncIterator[str]:
    """A bus without a coordinator."""
    server = await serve(LocalRouter(Names("longshore")), tmp_path / "bus.sock")
    yield f"local:{tmp_path / 'bus.sock'}"
    await server.close()


async def test_a_bus_without_a_coordinator_asks_for_one(lonely_bus: str, tmp_path: Path) -> None:
    settings = load(broker_url=lonely_bus, payload_url=f"file:{tmp_path}/payloads")
    assert {one.state for one in await check_bus(settings, lonely_bus)} == {"ok"}
    (found,) = await check_coordinator(settings)
    assert (found.check, found.state) == ("coordinator", "fail")
    assert "longshore coordinator" in found.advice


def test_clocks_that_agree_within_a_second_are_fine() -> None:
    answered = NOON + timedelta(milliseconds=30)
    assert compare_clocks(NOON, NOON + timedelta(milliseconds=10), answered).state == "ok"
    assert compare_clocks(NOON, NOON - timedelta(milliseconds=900), answered).state == "ok"


@pytest.mark.parametrize("off", [timedelta(seconds=-7), timedelta(seconds=7)])
def test_a_clock_that_is_off_is_told_with_how_much(off: timedelta) -> None:
    found = compare_clocks(NOON, NOON + off, NOON)
    assert (found.state, "7.0 s" in found.text) == ("warn", True)
    assert "NTP" in found.advice
