"""The session over real RabbitMQ, with its connection cut in the middle."""

from __future__ import annotations

import asyncio

from longshore.broker import connect
from longshore.core.message import Finished
from tests.support.proxy import Proxy
from tests.support.rabbit import RabbitNode
from tests.worker import routines
from tests.worker.conftest import NAMES, SiteMaker
from tests.worker.routines import echo, wait_async
from tests.worker.scripted import value_of


async def test_runs_go_and_come_over_rabbitmq(sites: SiteMaker, rabbit: RabbitNode) -> None:
    url = rabbit.vhost()
    async with sites(bus=connect(url, NAMES), coordinator_bus=connect(url, NAMES)) as site:
        coordinator = site.coordinator
        coordinator.direct(*[coordinator.start(echo, i, run=f"r{i}") for i in range(1000)])
        await coordinator.until(lambda: len(coordinator.reports) >= 1000)
        for i in range(1000):
            assert value_of(await coordinator.finished(f"r{i}")) == i


async def test_a_cut_connection_loses_no_report_and_doubles_none(sites: SiteMaker, rabbit: RabbitNode) -> None:
    url = rabbit.vhost()
    async with Proxy.before(url) as proxy:
        bus = connect(proxy.url(url), NAMES)
        async with sites(bus=bus, coordinator_bus=connect(url, NAMES)) as site:
            coordinator = site.coordinator
            coordinator.direct(coordinator.start(wait_async, "door", run="long"))
            await coordinator.started("long")
            expected = {"long"}
            for round_ in range(3):
                names = [f"{round_}.{i}" for i in range(300)]
                expected.update(names)
                hellos = len(coordinator.hellos)
                starts = {run: coordinator.start(echo, run, run=run) for run in names}
                coordinator.direct(*starts.values())
                await coordinator.until(lambda: coordinator.all(Finished, names[5]))  # noqa: B023 - awaited at once
                proxy.cut()
                hello = await coordinator.hello(hellos + 1, within=20)
                held = {one.run_id for one in hello.held}
                assert "long" in held
                ended = {report.run_id for report in coordinator.reports}
                # As the ledger does: what it holds and Hello did not name goes again, with unchanged epochs.
                missing = [start for run, start in starts.items() if run not in held and run not in ended]
                if missing:
                    coordinator.direct(*missing)
            routines.passes("door").set()
            finished = await coordinator.until(
                lambda: found if len(found := _finished(coordinator.reports)) >= len(expected) else None, within=30
            )
            assert {report.run_id for report in finished} == expected
            assert len(finished) == len(expected)
            await asyncio.wait_for(coordinator.beat(), 5)


def _finished(reports: list[object]) -> list[Finished]:
    return [report for report in reports if isinstance(report, Finished)]
