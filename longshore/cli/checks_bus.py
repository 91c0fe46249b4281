"""The doctor's checks that talk over the bus: login, topology, a round trip, the coordinator's answer, its clock."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from longshore.broker import Bus, Outgoing, connect
from longshore.cli.checks import PATIENCE, Finding
from longshore.cli.fields import time_of
from longshore.core.envelope import Names
from longshore.core.errors import BrokerUnavailableError, LongshoreError

if TYPE_CHECKING:
    from longshore.settings import Settings

CLOCK_OFF: Final = timedelta(seconds=1)

_REFUSALS: Final = (
    ("login", ("login was refused", "authentication"), "correct user and password in LONGSHORE_BROKER_URL"),
    (
        "topology",
        ("precondition_failed", "inequivalent"),
        "something else has declared these names otherwise: remove it there, or set another LONGSHORE_NAMESPACE",
    ),
    (
        "topology",
        ("access to exchange", "access to queue"),
        "give this user its permissions, or start `longshore coordinator` once with a user who may declare",
    ),
    (
        "virtual host",
        ("vhost", "connection.openok"),  # RabbitMQ closes where aiormq expects OpenOk
        "correct the URL's path in LONGSHORE_BROKER_URL, or `rabbitmqctl add_vhost` and `set_permissions`",
    ),
)
"""By what the broker's text tells: the check that failed, the signs, what to do. The first that fits."""


async def check_bus(settings: Settings, url: str) -> list[Finding]:
    """Whether the broker lets this user in, has the topology, and carries a message there and back."""
    names = Names(settings.namespace)
    bus = connect(url, names)
    try:
        await bus.open(timeout=PATIENCE)
    except BrokerUnavailableError as error:
        return [_refusal(str(error))]
    try:
        opened = Finding("login", "ok", f"connected; exchanges and queues of {settings.namespace!r} are there")
        return [opened, await _round_trip(bus, names)]
    finally:
        await bus.close()


def _refusal(text: str) -> Finding:
    for check, signs, advice in _REFUSALS:
        if any(sign in text.lower() for sign in signs):
            return Finding(check, "fail", text, advice)
    return Finding("login", "fail", text, "look into the broker's log")


async def _round_trip(bus: Bus, names: Names) -> Finding:
    key = f"doctor-{secrets.token_hex(8)}"
    arrived = asyncio.Event()
    consumer = await bus.consume_private(
        names.replies, key, lambda _message: arrived.set(), lambda _number: None, prefetch=1
    )
    (sent,) = await bus.publish([Outgoing(names.replies, key, b"doctor")], timeout=PATIENCE)
    if bus.blocked:
        advice = "free memory or disk on the broker's machine: `rabbitmqctl status` names the alarm"
        return Finding("round trip", "fail", "the broker takes no messages: an alarm is raised there", advice)
    if not sent.confirmed:
        why = "it came back" if sent.returned else sent.failed
        return Finding("round trip", "fail", f"a message was not taken: {why}", "look into the broker's log")
    try:
        async with asyncio.timeout(PATIENCE):
            await arrived.wait()
    except TimeoutError:
        advice = "look into the broker's log; the connection may be cut in one direction"
        return Finding("round trip", "fail", "a message was taken, but did not arrive", advice)
    finally:
        await consumer.close()
    return Finding("round trip", "ok", "a message went to the broker and back")


async def check_coordinator(settings: Settings) -> list[Finding]:
    """Whether a coordinator answers, and whether its clock agrees with this machine's."""
    from longshore.client import Client

    try:
        async with Client(settings=settings) as client, asyncio.timeout(PATIENCE):
            asked = datetime.now(UTC)
            answer = await client.ask("ping")
            answered = datetime.now(UTC)
    except (LongshoreError, TimeoutError) as error:
        advice = "start `longshore coordinator` (or `longshore dev MODULE`) with the same settings"
        return [Finding("coordinator", "fail", f"no coordinator answers: {str(error) or 'no answer in time'}", advice)]
    found = Finding("coordinator", "ok", f"answers after {(answered - asked).total_seconds() * 1000:.0f} ms")
    return [found, compare_clocks(asked, time_of(answer["now"]) or asked, answered)]


def compare_clocks(asked: datetime, there: datetime, answered: datetime) -> Finding:
    """Whether the coordinator's time lies between question and answer, give or take a second."""
    off = max(asked - there, there - answered, timedelta())
    if off <= CLOCK_OFF:
        return Finding("clock", "ok", "agrees with the coordinator's")
    advice = "set both clocks by NTP: delays and deadlines are judged by the coordinator's"
    side = "behind" if there < asked else "ahead of"
    return Finding("clock", "warn", f"the coordinator's is {off.total_seconds():.1f} s {side} this machine's", advice)
