"""The doctor's checks of a real RabbitMQ, with exactly one thing wrong with it at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from longshore.cli.checks import Finding
from longshore.cli.checks_bus import check_bus
from longshore.settings import load
from tests.support.rabbit import RabbitNode, vhost_of


async def findings(url: str) -> list[Finding]:
    return await check_bus(load(broker_url=url), url)


async def test_a_broker_in_order_lets_in_and_carries_a_message(rabbit_node: RabbitNode) -> None:
    found = await findings(rabbit_node.vhost())
    assert [(one.check, one.state) for one in found] == [("login", "ok"), ("round trip", "ok")], found


async def test_a_wrong_password_points_at_the_url_without_repeating_it(rabbit_node: RabbitNode) -> None:
    (found,) = await findings(rabbit_node.url("%2F", password="wrong-one"))
    assert (found.check, found.state) == ("login", "fail")
    assert "user and password in LONGSHORE_BROKER_URL" in found.advice
    assert "wrong-one" not in found.text + found.advice


async def test_a_missing_virtual_host_is_named_with_the_command_that_makes_it(rabbit_node: RabbitNode) -> None:
    (found,) = await findings(rabbit_node.url("nobody-made-this"))
    assert (found.check, found.state) == ("virtual host", "fail")
    assert "nobody-made-this" in found.text
    assert "rabbitmqctl add_vhost" in found.advice


async def test_a_user_who_may_not_declare_is_told_who_may(rabbit_node: RabbitNode) -> None:
    vhost = vhost_of(rabbit_node.vhost())
    user, password = rabbit_node.add_user(vhost, configure="^$", write=".*", read=".*")
    (found,) = await findings(rabbit_node.url(vhost, user=user, password=password))
    assert (found.check, found.state) == ("topology", "fail")
    assert "permissions" in found.advice


async def test_names_that_are_declared_otherwise_are_a_failure(rabbit_node: RabbitNode) -> None:
    url = rabbit_node.vhost()
    vhost = vhost_of(url)
    declare = (
        f'rabbit_exchange:declare(rabbit_misc:r(<<"{vhost}">>, exchange, <<"longshore.workers">>), '
        'fanout, true, false, false, [], <<"test">>).'
    )
    rabbit_node.ctl("eval", declare)
    (found,) = await findings(url)
    assert (found.check, found.state) == ("topology", "fail")
    assert "LONGSHORE_NAMESPACE" in found.advice


@contextmanager
def alarm(node: RabbitNode) -> Iterator[None]:
    node.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        yield
    finally:
        node.ctl("set_vm_memory_high_watermark", "0.6")


@pytest.mark.timeout(90)
async def test_an_alarm_is_told_from_a_broker_that_is_away(rabbit_node: RabbitNode) -> None:
    url = rabbit_node.vhost()
    await findings(url)  # the topology is there before
    with alarm(rabbit_node):
        found = await findings(url)
    assert (found[-1].check, found[-1].state) == ("round trip", "fail")
    assert "alarm" in found[-1].text
    assert "rabbitmqctl status" in found[-1].advice
