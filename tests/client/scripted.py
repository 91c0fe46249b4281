"""A coordinator by script: takes commands from the bus and answers as it is told. It has a dict, and no ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from longshore.broker.bus import Bus, Consumer, Incoming, Outgoing
from longshore.core.envelope import Names
from longshore.core.message import (
    AbortBatch,
    AbortBulk,
    Accepted,
    Answer,
    Ask,
    BatchOrder,
    Bulk,
    Cancel,
    Command,
    CreateSchedule,
    DeleteSchedule,
    DrainWorker,
    Fork,
    LimitQueue,
    Message,
    OpenBatch,
    PauseQueue,
    PauseSchedule,
    QueueOrder,
    Rejected,
    Resume,
    ResumeQueue,
    ResumeSchedule,
    RunChanged,
    SealBatch,
    Trigger,
)
from longshore.core.run import FINAL
from longshore.serialization.arguments import decode_arguments
from longshore.serialization.envelope import pack, unpack_commands
from longshore.serialization.failures import encode_failure
from longshore.serialization.values import encode_inline

Routine = Callable[..., Any]


class Scripted:
    """`routines` by name are executed at once; a trigger of any other is accepted and left QUEUED until `finish`."""

    def __init__(self, bus: Bus, names: Names, **routines: Routine) -> None:
        self.bus = bus
        self.names = names
        self.routines = routines
        self.triggers: list[Trigger] = []
        self.asks: list[Ask] = []
        self.resumes: list[Resume] = []
        self.forks: list[Fork] = []
        self.drains: list[DrainWorker] = []
        self.queue_orders: list[QueueOrder] = []
        self.queue_refusals: list[dict[str, str]] = []
        """What the next orders about queues are refused with."""
        self.batch_orders: list[BatchOrder] = []
        self.schedule_orders: list[Any] = []
        self.schedule_refusals: list[dict[str, str]] = []
        """What the next orders about schedules are refused with."""
        self.bodies: list[int] = []
        self.ended: dict[str, RunChanged] = {}
        self.statuses: dict[str, str] = {}
        self.watchers: dict[str, set[str]] = {}
        self.answers: dict[str, Callable[[Ask], Any]] = {}
        self.keys: dict[str, str] = {}
        self.silent = False
        """Takes what comes, answers nothing."""
        self._inbox: asyncio.Queue[Incoming] = asyncio.Queue()
        self._consumer: Consumer | None = None
        self._working: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Scripted:
        await self.bus.open(timeout=10)
        await self.listen()
        self._working = asyncio.create_task(self._work())
        return self

    async def listen(self) -> None:
        self._consumer = await self.bus.consume_queue(self.names.commands, self._inbox.put_nowait, prefetch=100)

    async def stop_listening(self) -> None:
        assert self._consumer is not None
        await self._consumer.close()
        self._consumer = None

    async def __aexit__(self, *_: object) -> None:
        assert self._working is not None
        self._working.cancel()
        await asyncio.gather(self._working, return_exceptions=True)
        await self.bus.close()

    async def _work(self) -> None:
        while True:
            message = await self._inbox.get()
            commands = unpack_commands(message.body, message.content_type)
            self.bodies.append(len(commands))
            replies: dict[str, list[Message]] = {}
            for command in commands:
                self._take(command, replies)
            await self._reply(replies)
            if self._consumer is not None:
                self._consumer.settle(message)

    async def _reply(self, replies: dict[str, list[Message]]) -> None:
        outgoing = [
            Outgoing(self.names.replies, key, body) for key, messages in replies.items() for body in pack(messages)
        ]
        await self.bus.publish(outgoing, timeout=5)

    def _take(self, command: Command, replies: dict[str, list[Message]]) -> None:
        if isinstance(command, Trigger):
            self.triggers.append(command)
        elif isinstance(command, Ask):
            self.asks.append(command)
        if self.silent:
            return
        to = replies.setdefault(command.reply_to, [])
        match command:
            case Trigger():
                to += self._triggered(command)
            case Ask(what="outcome"):
                to += [change for run_id in command.run_ids if (change := self._outcome(run_id, command.reply_to))]
            case Ask():
                to.append(self._answer(command))
            case Resume():
                self.resumes.append(command)
                to.append(self._resumed(command))
            case DrainWorker():
                self.drains.append(command)
                to.append(Answer(command.ask_id, data={"workers": [{"worker_id": "w1", "status": "TERMINATING"}]}))
            case Fork():
                self.forks.append(command)
                to.append(self._forked(command))
            case LimitQueue() | PauseQueue() | ResumeQueue():
                self.queue_orders.append(command)
                refusal = self.queue_refusals.pop(0) if self.queue_refusals else None
                to.append(Answer(command.ask_id, data={"name": command.queue}, error=refusal))
            case CreateSchedule() | PauseSchedule() | ResumeSchedule() | DeleteSchedule():
                self.schedule_orders.append(command)
                refusal = self.schedule_refusals.pop(0) if self.schedule_refusals else None
                name = command.schedule_id or getattr(command, "routine", "")
                to.append(Answer(command.ask_id, data={"schedule_id": name}, error=refusal))
            case OpenBatch() | SealBatch() | AbortBatch() | Bulk() | AbortBulk():
                self.batch_orders.append(command)
                to.append(Answer(command.ask_id, data={"status": "taken"}))
            case Cancel(run_id=run_id):
                to.append(self._canceled(command))
                to += [self.ended[run_id]] if run_id in self.ended else []

    def _triggered(self, trigger: Trigger) -> list[Message]:
        run_id = trigger.run_id
        if trigger.routine.startswith("refused"):
            return [Rejected(run_id=run_id, rule="max_size", text="the queue is full")]
        key = trigger.options.idempotency_key
        asked = run_id
        if key:
            run_id = self.keys.setdefault(key, run_id)  # type: ignore[assignment]
        existing = run_id in self.statuses
        if not existing:
            self.statuses[run_id] = "QUEUED"
            routine = self.routines.get(trigger.routine.partition("@")[0])
            if routine is not None:
                self._execute(trigger, routine)
        if trigger.wants == "outcome":
            self.watchers.setdefault(run_id, set()).add(trigger.reply_to)
        accepted = Accepted(run_id, self.statuses[run_id], asked if asked != run_id else type(run_id)(""), existing)
        over = self.ended.get(run_id)
        return [accepted, over] if over is not None and trigger.wants == "outcome" else [accepted]

    def _execute(self, trigger: Trigger, routine: Routine) -> None:
        assert isinstance(trigger.input, bytes)
        args, kwargs = decode_arguments(trigger.input)
        try:
            value = encode_inline(routine(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the routine's own failure
            self._end(RunChanged(trigger.run_id, "FAILED", 1, "raised", now(), error=encode_failure(error)))
        else:
            self._end(RunChanged(trigger.run_id, "COMPLETED", 1, "returned", now(), result=value))

    def _end(self, change: RunChanged) -> None:
        self.ended[change.run_id] = change
        self.statuses[change.run_id] = change.status

    def _outcome(self, run_id: str, reply_to: str) -> RunChanged | None:
        if run_id not in self.statuses:
            return RunChanged(run_id=run_id, status="", reason=f"there is no run {run_id}")  # type: ignore[arg-type]
        self.watchers.setdefault(run_id, set()).add(reply_to)
        return self.ended.get(run_id)

    def _answer(self, ask: Ask) -> Answer:
        script = self.answers.get(ask.what)
        if script is None:
            return Answer(ask.ask_id, error={"rule": "unknown_question", "text": f"what is {ask.what}?"})
        return Answer(ask.ask_id, data=script(ask))

    def _resumed(self, order: Resume) -> Answer:
        status = self.statuses.get(order.run_id, "")
        if status != "BLOCKED":
            text = f"run {order.run_id} is {status}; only what is BLOCKED can be resumed"
            return Answer(order.ask_id, error={"rule": "not_blocked", "text": text})
        self.statuses[order.run_id] = "QUEUED"
        return Answer(order.ask_id, data={"run_id": order.run_id, "status": "QUEUED"})

    def _forked(self, order: Fork) -> Answer:
        if order.at == "nowhere":
            return Answer(order.ask_id, error={"rule": "unknown_address", "text": "no call is recorded there"})
        self.statuses[order.fork_id] = "QUEUED"
        return Answer(order.ask_id, data={"run_id": order.fork_id, "status": "QUEUED", "forked_from": order.run_id})

    def _canceled(self, order: Cancel) -> Answer:
        status = self.statuses.get(order.run_id, "")
        if status in FINAL:
            text = f"run {order.run_id} is {status} already"
            return Answer(order.ask_id, error={"rule": "already_final", "text": text})
        self._end(RunChanged(order.run_id, "CANCELED", 0, order.reason, now()))
        return Answer(order.ask_id, data={"run_id": order.run_id, "status": "CANCELED"})

    async def tell(self, change: RunChanged) -> None:
        """Announce a change to everybody who asked for this run."""
        if change.status in FINAL:
            self._end(change)
        await self._reply({key: [change] for key in self.watchers.get(change.run_id, set())})

    async def finish(self, run_id: str, value: object, **more: Any) -> None:
        """The run completed."""
        result = more.pop("result", None) or encode_inline(value)
        await self.tell(RunChanged(run_id, "COMPLETED", 1, "returned", now(), result=result, **more))  # type: ignore[arg-type]


def now() -> datetime:
    return datetime.now(UTC)
