"""One real workflow at a time on the real ledger, with pure children, run again from any of its calls.

The code lives in the product's own Flow, as on a worker. What it is told comes in an order of chance, but what it gives
does not depend on that order: so a fork must come to the same.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any, Final
from zlib import crc32

from longshore import context, define
from longshore.core.ids import Address, RunId, SessionId
from longshore.core.message import (
    Answer,
    CancelRun,
    ChildDied,
    CompleteToken,
    Deliver,
    Fork,
    JournalPage,
    Signal,
    Start,
    Trigger,
)
from longshore.core.run import FINAL, Run, Status
from longshore.engine.steps import Completed, Nondeterministic
from longshore.payloads.cargo import Cargo
from longshore.serialization.arguments import decode_arguments, encode_arguments
from longshore.serialization.failures import encode_failure
from longshore.serialization.values import decode, encode
from longshore.worker.asking import Asked, commands
from longshore.worker.attempt import Attempt
from longshore.worker.bench import Bench
from longshore.worker.flow import Flow
from tests.engine.scenes import Scene, may_fail, step
from tests.simulation.world import World

BENCH: Final = Bench(Cargo(None, inline_limit=1 << 20), "simulation")  # type: ignore[arg-type]
LIMIT: Final = 2000
"""Facts after which a workflow is certainly stuck."""


class Orderless(Scene):
    """A random workflow whose trace, sorted, is the same in whatever order it is told its facts."""

    async def times_out(self, tag: str, _depth: int) -> None:
        try:
            async with asyncio.timeout(2):
                await asyncio.sleep(100_000)
        except TimeoutError:
            self.trace.append((tag, "too late", await step(tag)))

    async def waits_for(self, tag: str, depth: int) -> None:
        await asyncio.wait_for(self.node(tag, depth + 2), 50_000)

    async def sleeps(self, tag: str, _depth: int) -> None:
        async with self.semaphore:
            await asyncio.sleep(1)
            self.trace.append((tag, await step(tag)))

    async def draws(self, tag: str, _depth: int) -> None:
        if context.patch(f"change-{len(tag) % 7}"):
            await step(str(context.uuid4()), context.random.randrange(100))
        await step(context.now.isoformat())
        self.trace.append((tag, "drawn"))

    async def hears(self, tag: str, _depth: int) -> None:
        async with asyncio.timeout(50_000):
            await context.wait_for_signal("loud")
        self.trace.append((tag, "heard"))

    async def hears_all(self, tag: str, _depth: int) -> None:
        heard = await asyncio.gather(*(context.wait_for_signal(name) for name in ("loud", "soft", "loud")))
        self.trace.append((tag, len(heard)))

    async def is_paid(self, tag: str, _depth: int) -> None:
        token = await context.create_token(timeout=50_000 if len(tag) % 2 else None)
        waiter = asyncio.create_task(context.wait_for_token(token))
        await step(token)  # who is given a token has it: it must not be another one in a fork
        self.trace.append((tag, await waiter))

    async def until(self, tag: str, _depth: int) -> None:
        await context.wait_until(context.now)
        self.trace.append((tag, await step(tag)))

    async def groups(self, tag: str, _depth: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for one in range(3):
                    group.create_task(step(f"{tag}-{one}"))
                group.create_task(may_fail(tag, 9))
            self.trace.append((tag, "fine"))
        except* RuntimeError:
            self.trace.append((tag, "the group failed"))

    async def races(self, tag: str, _depth: int) -> None:
        racers = [asyncio.create_task(step(tag, one)) for one in range(4)]
        _, pending = await asyncio.wait(set(racers), return_when=asyncio.FIRST_COMPLETED)
        for one in pending:
            one.cancel()
        await step(f"{tag} over")
        self.trace.append((tag, "raced"))

    async def takes_as_completed(self, tag: str, _depth: int) -> None:
        found = []
        for one in asyncio.as_completed([step(tag, number) for number in range(4)]):
            found.append(await one)
            await step(f"{tag} then")
        self.trace.append((tag, sorted(found)))

    async def generates(self, tag: str, _depth: int) -> None:
        async def numbers() -> AsyncIterator[int]:
            for number in range(3):
                yield await step(tag, number)

        self.trace.append((tag, [value async for value in numbers()]))

    async def shields(self, tag: str, _depth: int) -> None:
        inner = asyncio.ensure_future(step(tag))
        self.trace.append((tag, await asyncio.wait_for(asyncio.shield(inner), 50_000)))

    async def node(self, tag: str, depth: int) -> None:
        chance = random.Random(f"{self.seed} {tag}")
        shallow = [
            self.calls, self.retries, self.times_out, self.sleeps, self.shares, self.generates, self.draws, self.hears,
            self.hears_all, self.is_paid, self.until, self.races, self.takes_as_completed, self.groups,
        ]  # fmt: skip
        deep = [self.waits_for, self.gathers, self.gathers, self.shields, self.signals]
        for number in range(chance.randrange(2, 5) if depth == 0 else chance.randrange(1, 3)):
            await chance.choice([*deep, *shallow] if depth < 2 else shallow)(f"{tag}.{number}", depth)


@define.workflow(name="orderless", version="1.0.0")
async def orderless(seed: int) -> list[str]:
    """See Orderless."""
    return sorted(map(repr, await Orderless(seed).run()))


ROUTINES: Final = {one.name: one for one in (orderless, step, may_fail)}


class Theatre:
    """One ledger, a worker for workflows (which may die), a worker for their children, and the world outside."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed=seed)
        self.chance = random.Random(f"{seed} theatre")
        self.children: dict[RunId, Start] = {}
        self.flows: dict[RunId, Flow] = {}
        self.steps = self.world.join("steps", offers=[step.offer(), may_fail.offer()], slots=10_000)
        self.names = 0
        self.deaths = 0
        self.worker = self._hire()

    def _hire(self) -> SessionId:
        self.names += 1
        return self.world.join(f"flows-{self.names}", offers=[orderless.offer()], slots=10_000)

    # ----------------------------------------------------------------------------------------------------- the orders

    def begin(self, seed: int) -> RunId:
        run_id = self.world.run_id()
        self.world.command(Trigger("orderless", run_id, encode_arguments([seed], {}).inline()))
        return run_id

    def fork(self, run_id: RunId, at: Address) -> RunId | None:
        """The fork; None where an open token forbids it."""
        self.world.command(Fork(run_id, at, reply_to="client"))
        _, answer = self.world.replies[-1]
        assert isinstance(answer, Answer)
        if answer.error is not None:
            assert answer.error["rule"] == "open_token", answer.error
            return None
        return RunId(answer.data["run_id"])

    def result(self, run_id: RunId) -> Any:
        """What a run gives, once everything that can happen has happened."""
        for _ in range(LIMIT):
            if self.world.status(run_id) in FINAL:
                value = self.world.book.results[run_id]
                assert self.world.status(run_id) is Status.COMPLETED and isinstance(value, bytes), self.row(run_id)
                return decode(value)
            self.act()
        raise AssertionError(f"stuck: {self.row(run_id)}")

    def row(self, run_id: RunId) -> Run:
        return self.world.row(run_id)

    def calls(self, run_id: RunId) -> list[Address]:
        return [row.address for row in self.world.book.call_rows(run_id) if row.kind == "call"]

    def made(self, run_id: RunId) -> set[Address]:
        """The addresses at which a run has called something by itself."""
        return {run.parent_address for run in self.world.book.runs.values() if run.parent_id == run_id}

    # -------------------------------------------------------------------------------------------------------- the acts

    def act(self) -> None:
        """One thing that happens: a worker dies, or a child ends, else somebody speaks, else time passes."""
        while any(self.world.sent.get(session) for session in (self.steps, self.worker)):
            self._carry_out()
        if self.chance.random() < 0.03 and self.flows:
            self._die()
        elif self.children:
            self._end(self.chance.choice(list(self.children)))
        elif not self._speak():
            self._wait()
        self.world.settle()

    def _carry_out(self) -> None:
        for directive in self.world.directives(self.steps):
            if isinstance(directive, Start):
                self.children[directive.run_id] = directive
            elif isinstance(directive, CancelRun) and directive.run_id in self.children:
                start = self.children.pop(directive.run_id)
                self.world.finish(self.steps, start, "canceled", error=encode_failure(RuntimeError("canceled")))
        for directive in self.world.directives(self.worker):
            if isinstance(directive, Start):
                self._start(directive)
            elif isinstance(directive, Deliver) and directive.run_id in self.flows:
                self.flows[directive.run_id].deliver(directive)
        for flow in list(self.flows.values()):
            self._pump(flow)
        self.world.settle()

    def _start(self, start: Start) -> None:
        self.world.begin(self.worker, start)
        start.input = self.world.book.inputs[start.run_id]
        flow = self.flows[start.run_id] = Flow(Attempt(start, orderless), (), BENCH.freeze)
        args, kwargs = BENCH.arguments(start, orderless)
        flow.prepare(lambda: orderless.function(*args, **kwargs))
        if flow.replays:
            book = self.world.book
            rows, log = book.call_rows(start.run_id), book.delivery_log(start.run_id)
            flow.turn_page(JournalPage(start.run_id, start.epoch, -1, len(log), rows, log))

    def _pump(self, flow: Flow) -> None:
        while flow.step():
            pass
        attempt, upto = flow.attempt, flow.applied
        assert not isinstance(flow.outcome, Nondeterministic), flow.outcome.failure
        assert not flow.dead, flow.stacks()
        if flow.due and (flow.outcome is None or flow.calls):
            seq = None if flow.outcome is not None else upto
            asked = Asked(attempt, seq, flow.calls, flow.timers, flow.closed, flow.waits)
            flow.calls, flow.timers, flow.closed, flow.waits = [], [], [], []
            flow.reported = upto
            for part in commands(BENCH, asked):
                for call in part.calls:
                    call.child_id = self.world.run_id()
                self.world.report(self.worker, part)
        if flow.outcome is not None:
            assert isinstance(flow.outcome, Completed), flow.outcome
            del self.flows[attempt.run_id]
            report = BENCH.completed(attempt, encode(flow.outcome.value).inline(), None)
            report.upto_seq = upto
            self.world.report(self.worker, report)

    def _end(self, run_id: RunId) -> None:
        """A child ends as its arguments say."""
        start = self.children.pop(run_id)
        value = self.world.book.inputs[run_id]
        assert isinstance(value, bytes)
        (args, kwargs), number = decode_arguments(value), crc32(value) % 100
        if start.routine == "may_fail" and number % 2 and (args, kwargs):
            self.world.finish(self.steps, start, "aborted", error=encode_failure(RuntimeError("by its arguments")))
        else:
            self.world.finish(self.steps, start, result=encode(number).inline())

    def _speak(self) -> bool:
        """Tell somebody what he waits for from outside; whether anybody did."""
        book = self.world.book
        for run in list(book.runs.values()):
            if run.status not in (Status.HANGING, Status.SUSPENDED):
                continue
            for row in book.call_rows(run.id):
                if row.kind == "signal" and not row.closed:
                    self.world.command(Signal(run.id, row.name, b"", self.world.run_id()))
                    return True
                if row.kind == "token" and not row.closed:
                    self.world.command(CompleteToken(row.name, encode("paid").inline()))
                    return True
        return False

    def _wait(self) -> None:
        """Until something is due."""
        flows = [run.flow for run in self.world.book.runs.values() if run.status not in FINAL and run.flow is not None]
        due = [at for flow in flows for at in (*flow.timers.values(), flow.rest_until) if at and at > self.world.now]
        self.world.tick((min(due) - self.world.now).total_seconds() if due else 1.0)

    def _die(self) -> None:
        """The workflows' worker is gone; another goes on with all of it."""
        self.deaths += 1
        for flow in self.flows.values():
            flow.kill()
        self.flows.clear()
        self.world.say(self.worker, ChildDied(self.worker, "simulated"))
        self.worker = self._hire()
