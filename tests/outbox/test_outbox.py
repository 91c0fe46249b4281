"""A trigger in the user's own transaction: sent once when it commits, never when it does not, whatever dies."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine, event, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from longshore import define
from longshore.core.errors import NotYetAccepted, Rejected, UnavailableError, UsageError
from longshore.core.ids import is_run_id
from longshore.core.message import Trigger
from longshore.outbox import OutboxRelay, OutboxTable
from longshore.serialization.arguments import decode_arguments
from tests.outbox.conftest import Sent
from tests.support.wait import eventually


@define.task(name="mail", version="1.0.0", cache=True)
def mail(to: str, copies: int = 1) -> str:
    return f"{to} {copies}"


def left(engine: Engine, outbox: OutboxTable) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(outbox.table)).scalar_one())


async def test_a_commit_triggers_once_with_everything_that_was_given(
    engine: Engine, outbox: OutboxTable, sent: Sent
) -> None:
    with Session(engine) as session, session.begin():
        run_id = outbox.add(session, mail("ann"), tags=["x"], delay="5m", max_attempts=2)
        by_name = outbox.add(session, "other@1.2.3", args=[1], kwargs={"y": 2}, batch_id="b")
    relay = OutboxRelay(engine, sent, outbox)
    assert await relay.send() == 2 and await relay.send() == 0
    assert sent.ids == [run_id, by_name] and is_run_id(run_id) and relay.sent == 2
    first, second = sent.triggers
    assert (first.routine, first.options.tags, first.options.delay_ms) == ("mail@1.0.0", ["x"], 300_000)
    assert first.options.max_attempts == 2 and first.cache_key and first.wants == "accepted"
    assert (second.routine, second.options.batch_id, second.cache_key) == ("other@1.2.3", "b", "")
    one, two = [decode_arguments(value) for value in sent.values]
    assert (list(one.args), one.kwargs, list(two.args), two.kwargs) == (["ann", 1], {}, [1], {"y": 2})
    assert left(engine, outbox) == 0


async def test_a_rollback_triggers_nothing(engine: Engine, outbox: OutboxTable, sent: Sent) -> None:
    with Session(engine) as session:
        outbox.add(session, mail("ann"))
        session.rollback()
    with engine.connect() as connection:
        outbox.add(connection, mail("bob"))
    assert await OutboxRelay(engine, sent, outbox).send() == 0 and not sent.ids


async def test_what_is_not_committed_yet_is_not_sent(engine: Engine, outbox: OutboxTable, sent: Sent) -> None:
    relay = OutboxRelay(engine, sent, outbox)
    with engine.connect() as connection:
        run_id = outbox.add(connection, mail("ann"))
        assert await relay.send() == 0
        connection.commit()
    assert await relay.send() == 1 and sent.ids == [run_id]


async def test_rows_go_in_their_order_a_batch_at_a_time(engine: Engine, outbox: OutboxTable, sent: Sent) -> None:
    with Session(engine) as session, session.begin():
        ids = [outbox.add(session, mail(str(number))) for number in range(25)]
    relay = OutboxRelay(engine, sent, outbox, batch=10)
    assert [await relay.send() for _ in range(4)] == [10, 10, 5, 0]
    assert sent.ids == ids


async def test_a_relay_killed_between_publish_and_delete_sends_the_same_run_again(
    engine: Engine, outbox: OutboxTable, sent: Sent
) -> None:
    with Session(engine) as session, session.begin():
        run_id = outbox.add(session, mail("ann"))

    class Killed(BaseException):
        """What kill -9 leaves: neither a delete nor a commit."""

    class Dying(OutboxRelay):
        def _settle(self, connection: Any, found: Any) -> None:
            raise Killed

    with pytest.raises(Killed):
        await Dying(engine, sent, outbox).send()
    assert sent.ids == [run_id] and left(engine, outbox) == 1
    assert await OutboxRelay(engine, sent, outbox).send() == 1
    assert sent.ids == [run_id, run_id] and left(engine, outbox) == 0


async def test_what_cannot_be_sent_now_waits_and_the_rest_goes(
    engine: Engine, outbox: OutboxTable, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    with Session(engine) as session, session.begin():
        ids = [outbox.add(session, mail(str(number))) for number in range(3)]

    def answer(trigger: Trigger) -> None:
        if trigger.run_id == ids[1]:
            raise NotYetAccepted("no coordinator has answered")

    sent.answer = answer
    relay = OutboxRelay(engine, sent, outbox)
    with pytest.raises(NotYetAccepted):
        await relay.send()
    assert sent.ids == [ids[0], ids[2]] and left(engine, outbox) == 1
    sent.answer = lambda trigger: None
    assert await relay.send() == 1 and sent.ids[-1] == ids[1]
    assert not caplog.records


async def test_what_the_ledger_refuses_stays_with_its_reason_and_holds_nothing_up(
    engine: Engine, outbox: OutboxTable, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    with Session(engine) as session, session.begin():
        bad, good = outbox.add(session, mail("bad")), outbox.add(session, mail("good"))
        session.execute(
            insert(outbox.table).values(run_id="odd", trigger=b"\xc1", value=b"", created_at=func.current_timestamp())
        )

    def answer(trigger: Trigger) -> None:
        if trigger.run_id == bad:
            raise Rejected("max_size", "the queue is full")

    sent.answer = answer
    relay = OutboxRelay(engine, sent, outbox)
    assert await relay.send() == 3 and await relay.send() == 0
    assert sent.ids == [good]
    with engine.connect() as connection:
        table = outbox.table
        kept = connection.execute(select(table.c.run_id, table.c.rejected).order_by(table.c.no)).all()
    assert kept[0] == (bad, "rejected (max_size): the queue is full")
    assert kept[1][0] == "odd" and "MessagePack" in kept[1][1]
    assert f"run {bad} of the outbox is refused and stays there" in caplog.text


async def test_a_running_relay_hears_of_a_commit_in_its_process_at_once(
    engine: Engine, outbox: OutboxTable, sent: Sent
) -> None:
    async with OutboxRelay(engine, sent, outbox, poll=3600):

        def work() -> str:
            with Session(engine) as session:
                first = outbox.add(session, mail("ann"))
                session.commit()
                outbox.add(session, mail("bob"))
                session.commit()
            return first

        first = await asyncio.to_thread(work)
        await eventually(lambda: len(sent.ids) == 2, within=10)
        assert sent.ids[0] == first
        with engine.begin() as connection:
            outbox.add(connection, mail("connections say nothing of their commits"))
        outbox.nudge()
        await eventually(lambda: len(sent.ids) == 3, within=10)
    assert left(engine, outbox) == 0


async def test_a_busy_loop_keeps_no_write_of_the_user_waiting(engine: Engine, outbox: OutboxTable, sent: Sent) -> None:
    loop, deleted, written = asyncio.get_running_loop(), threading.Event(), threading.Event()
    in_time = []

    @event.listens_for(engine, "before_cursor_execute")
    def executed(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith("DELETE"):
            loop.call_soon_threadsafe(lambda: in_time.append(written.wait(10)))
            deleted.set()

    def write() -> None:
        assert deleted.wait(10)
        with Session(engine) as session, session.begin():
            outbox.add(session, mail("bob"))
        written.set()

    with Session(engine) as session, session.begin():
        outbox.add(session, mail("ann"))
    await asyncio.gather(OutboxRelay(engine, sent, outbox).send(), asyncio.to_thread(write))
    assert in_time == [True] and left(engine, outbox) == 1


async def test_a_running_relay_sees_by_polling_what_others_committed_and_outlives_a_broker_that_is_away(
    engine: Engine, url: str, outbox: OutboxTable, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    broken = [True]

    def answer(trigger: Trigger) -> None:
        if broken:
            broken.clear()
            raise UnavailableError("the broker is away")

    sent.answer = answer
    theirs = OutboxTable(MetaData(), project="default")
    elsewhere = create_engine(url)
    async with OutboxRelay(engine, sent, outbox, poll=0.02):
        with Session(elsewhere) as session, session.begin():
            run_id = theirs.add(session, mail("ann"))
        await eventually(lambda: sent.ids == [run_id], within=10)
    elsewhere.dispose()
    assert "<outbox longshore_outbox>: trying again in 0.5 s: the broker is away" in caplog.text


@pytest.mark.parametrize("kind", ["session", "connection"])
async def test_the_same_with_an_asynchronous_engine(
    async_engine: AsyncEngine, engine: Engine, outbox: OutboxTable, sent: Sent, kind: str
) -> None:
    async with OutboxRelay(async_engine, sent, outbox, poll=0.05):
        if kind == "session":
            async with AsyncSession(async_engine) as session, session.begin():
                run_id = await outbox.add_async(session, mail("ann"), tags=["x"])
        else:
            async with async_engine.begin() as connection:
                run_id = await outbox.add_async(connection, mail("ann"), tags=["x"])
        await eventually(lambda: sent.ids == [run_id], within=10)
    async with AsyncSession(async_engine) as session:
        await outbox.add_async(session, mail("bob"))
    assert await OutboxRelay(async_engine, sent, outbox).send() == 0 and left(engine, outbox) == 0
    await async_engine.dispose()


async def test_several_relays_share_the_rows_or_repeat_them_and_nothing_is_lost(
    engine: Engine, outbox: OutboxTable, sent: Sent
) -> None:
    with Session(engine) as session, session.begin():
        ids = [outbox.add(session, mail(str(number))) for number in range(60)]
    sent.answer = lambda trigger: asyncio.sleep(0.05)
    relays = [OutboxRelay(engine, sent, outbox, batch=20) for _ in range(3)]
    await asyncio.gather(*(relay.send() for relay in relays))
    if engine.dialect.name == "postgresql":
        assert sorted(sent.ids) == sorted(ids)  # each row by one of them
    while await relays[0].send():
        pass
    assert set(sent.ids) == set(ids) and left(engine, outbox) == 0


def test_the_same_run_id_waits_once(engine: Engine, outbox: OutboxTable) -> None:
    run_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    with Session(engine) as session, session.begin():
        assert outbox.add(session, mail("ann"), run_id=run_id) == run_id
    with Session(engine) as session, pytest.raises(IntegrityError):
        outbox.add(session, mail("ann"), run_id=run_id)


async def test_what_is_wrong_is_said_before_anything_is_written(
    engine: Engine, outbox: OutboxTable, sent: Sent
) -> None:
    with Session(engine) as session, session.begin():
        with pytest.raises(UsageError, match="option max_attempts: 0 is not a whole number"):
            outbox.add(session, "mail", max_attempts=0)
        with pytest.raises(UsageError, match="run_id 'x' is no UUID"):
            outbox.add(session, "mail", run_id="x")
        with pytest.raises(UsageError, match="over the 67108864 that an outbox row may have"):
            outbox.add(session, "mail", args=[b"x" * (64 << 20)])
        with pytest.raises(UsageError, match=r"takes a Session or Connection; the other kind goes with add_async"):
            outbox.add(engine, "mail")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="takes an AsyncSession or AsyncConnection; the other kind goes with add"):
            await outbox.add_async(session, "mail")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"poll=0: seconds from 0\.01 to 3600"):
        OutboxRelay(engine, sent, outbox, poll=0)
    with pytest.raises(UsageError, match="batch=1001: a number of rows from 1 to 1000"):
        OutboxRelay(engine, sent, outbox, batch=1001)
    with pytest.raises(UsageError, match="'url' is no engine"):
        OutboxRelay("url", sent, outbox)  # type: ignore[arg-type]
    assert left(engine, outbox) == 0
