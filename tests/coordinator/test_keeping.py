"""What has ended goes from a real store, whose file then grows no more, and its objects from the payload store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from longshore.coordinator.store import Store
from longshore.core.changes import Changes, Facts, Needs, Snapshot
from longshore.core.errors import PayloadUnavailable
from longshore.core.keeping import Keep
from longshore.core.ledger import Ledger, LedgerConfig
from longshore.core.message import ClaimCheck, Finished, Started, Trigger
from longshore.payloads import PayloadStore, open_store
from tests.coordinator.conftest import Site
from tests.coordinator.peers import WITHIN, new_run_id
from tests.coordinator.peers import task as offered
from tests.simulation.world import World, task
from tests.support.wait import eventually

BIG = b"x" * 70_000
AT_ONCE = 100


class Bound:
    """The real store in place of the book."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._batch = 0

    def snapshot(self) -> Snapshot:
        return self._store.load("test", self._now())

    def read(self, needs: Needs, now: datetime) -> Facts:
        return self._store.reader.read(needs, now)

    def commit(self, changes: Changes) -> None:
        self._batch += 1
        self._store.writer.commit(changes, self._batch, self._batch, self._now())


class Stored(World):
    """A world whose book is a real store."""

    def __init__(self, store: Store, **config: Any) -> None:
        self._store = store
        super().__init__(**config)

    def _start(self) -> Ledger:
        self.book = Bound(self._store, lambda: self.now)  # type: ignore[assignment]
        return super()._start()


def execute(world: Stored, worker: Any, many: int) -> None:
    """So many runs begin and end, then a second passes with its ticks."""
    text = b"y" * 300
    world.command(*(Trigger(routine="t", run_id=world.run_id(), input=text) for _ in range(many)))
    starts = world.starts(worker)
    world.report(worker, *(Started(one.run_id, one.epoch, world.now) for one in starts))
    ends = [Finished(one.run_id, one.epoch, "completed", world.now, result=text) for one in starts]
    world.report(worker, *ends)
    world.now += timedelta(seconds=1)
    for _ in range(3):
        world.tick(0.05)


def test_a_file_of_which_five_hundred_runs_are_kept_does_not_grow(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    store = Store.open(f"sqlite:///{file}")
    try:
        grace = timedelta(seconds=2)
        world = Stored(store, retention=Keep(None, 500), retention_grace=grace, retention_after=timedelta(0))
        worker = world.join(offers=[task()], slots=AT_ONCE)
        sizes = []
        for _ in range(50):
            execute(world, worker, AT_ONCE)
            sizes.append(sum(one.stat().st_size for one in tmp_path.iterdir()))
        connection = store.reader.connection
        kept = connection.exec_driver_sql("SELECT COUNT(*) FROM run").scalar_one()
        rows = connection.exec_driver_sql("SELECT COUNT(*) FROM history").scalar_one()
    finally:
        store.close()
    assert 500 <= kept <= 500 + 3 * AT_ONCE and rows == 4 * kept
    assert sizes[-1] < 1.02 * sizes[len(sizes) // 2], sizes  # by then the write-ahead log has its size, 16 MiB


class Away:
    """A payload store that does not answer while `away`."""

    def __init__(self, store: PayloadStore) -> None:
        self.store = store
        self.away = True
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def delete(self, key: str) -> None:
        self.asked += 1
        if self.away:
            raise PayloadUnavailable("it is away")
        self.store.delete(key)


def put(store: PayloadStore, key: str) -> ClaimCheck:
    store.put(key, [BIG], len(BIG))
    return ClaimCheck(key, len(BIG), "a" * 64)


def kept(**more: Any) -> LedgerConfig:
    none = timedelta(0)
    return LedgerConfig(retention_grace=none, retention_after=none, **more)


async def test_the_objects_of_a_run_that_is_gone_go_after_it_even_if_their_store_is_away(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "payloads"
    store = Away(open_store(f"file:{folder}"))
    config = kept(retention=Keep(timedelta(seconds=1)))
    await site.coordinator(payloads=store, config=config, objects_kept=timedelta(seconds=1), sweep_every=0.05)
    worker, caller = await site.worker(), await site.caller()
    await worker.join(offered())
    run_id = new_run_id()
    given, result = put(store, f"inputs/{run_id}/a"), put(store, f"runs/{run_id}/b")
    await caller.trigger(run_id=run_id, input=given)
    await worker.finish(await worker.start(run_id), result=result)
    assert (await caller.outcome(run_id)).result == result
    await eventually(lambda: site.rows("SELECT COUNT(*) FROM run") == [(0,)], within=WITHIN)
    await eventually(lambda: store.asked > 4, within=WITHIN)
    assert store.exists(given.key) and store.exists(result.key)
    assert caplog.text.count("objects of deleted runs stay for now: it is away") == 1
    store.away = False
    await eventually(lambda: site.rows("SELECT COUNT(*) FROM doomed") == [(0,)], within=WITHIN)
    assert [*folder.iterdir()] == []  # not even an empty folder
    answer = await caller.ask("run", run_id)
    assert answer.error == {
        "rule": "unknown_run",
        "text": f"there is no run {run_id}; it may have been deleted: what has ended is kept for 1s",
    }


async def test_an_object_that_another_run_names_stays(site: Site, tmp_path: Path) -> None:
    store = open_store(f"file:{tmp_path}/payloads")
    config = kept(retention=Keep(None, 1))
    await site.coordinator(payloads=store, config=config, objects_kept=timedelta(0), sweep_every=0.05)
    worker, caller = await site.worker(), await site.caller()
    await worker.join(offered())
    shared, own = put(store, "inputs/shared/a"), put(store, "inputs/own/a")
    for given in (own, shared, shared):
        run_id = new_run_id()
        await caller.trigger(run_id=run_id, input=given)
        await worker.finish(await worker.start(run_id))
        await caller.outcome(run_id)
    await eventually(lambda: site.rows("SELECT COUNT(*) FROM run") == [(1,)], within=WITHIN)
    await eventually(lambda: site.rows("SELECT COUNT(*) FROM doomed") == [(0,)], within=WITHIN)
    assert store.exists(shared.key) and not store.exists(own.key)
