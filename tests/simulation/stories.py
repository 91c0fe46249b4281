"""Random workflows in plain asyncio, as real code for the simulation: nested three deep, continuing, failing, canceled.

What a story does follows from its seed, its arguments and what it is told. A fresh object lives for one execution.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, ClassVar, Final

from longshore import context, define
from longshore.core.errors import RunError
from longshore.routines.context import CURRENT_RUN
from tests.engine.scenes import Scene, may_fail, step

BUILD: Final[ContextVar[int]] = ContextVar("BUILD", default=1)
"""Of which build the worker is that executes it."""
DEPTH: Final = 3
"""How many workflows deep a story calls others: its own great-grandchildren are the last."""
SIGNALS: Final = ("loud", "soft")

Act = Callable[[Any, str, int], Coroutine[Any, Any, None]]


@define.task(name="pure", version="1.0.0")
def pure(number: int) -> int:
    return number


@define.workflow(name="story", version="1.0.0", max_attempts=2, retry_first=1)
async def story(seed: int, depth: int = 0, generation: int = 0, heard: list[int] | None = None) -> Any:
    """See Story."""
    return await Story(seed, depth, generation, heard or []).run()


@define.workflow(name="crew", version="1.0.0", children="abandon")
async def crew(seed: int, depth: int = 0) -> Any:
    """A workflow whose children go on without it."""
    return await Story(seed, depth, 0, []).run()


class Boom(RuntimeError):
    """What a story raises by its own plan."""


class Story(Scene):
    """One execution. `done` counts what all of them live through."""

    done: ClassVar[Counter[str]] = Counter()

    def __init__(self, seed: int, depth: int, generation: int, heard: list[int]) -> None:
        super().__init__(seed)
        self.depth = depth
        self.generation = generation
        self.heard = list(heard)
        self.build = BUILD.get()
        self.left: list[asyncio.Task[Any]] = []
        self.name = f"{seed} {depth} {generation}"
        chance = random.Random(f"{self.name} plan")
        self.generations = chance.choice([0, 0, 0, 1, 2, 4])
        self.fails_in = chance.choice([-1, -1, -1, 0, 1])
        self.count = chance.randrange(1, 4 - depth) if depth < DEPTH else 1

    def live(self, what: str) -> None:
        """Count it, once: not again in a replay."""
        run = CURRENT_RUN.get()
        if run is not None and not run.silent:
            Story.done[what] += 1

    async def run(self) -> Any:
        """The workflow."""
        try:
            await self.tell()
        except asyncio.CancelledError:
            self.live("canceled, cleans up")
            self.trace.append("canceled")
            await step("clean up")
            raise
        return [self.trace, self.heard]

    async def tell(self) -> None:
        chance = random.Random(self.name)
        for number in range(self.count):
            if context.attempt == 1 and number == self.fails_in:
                await self.fails(chance)
            act = chance.choice(self.acts())
            await act(self, f"{self.name}.{number}", 2 if act in NODES and self.depth else 1)
        if self.generation < self.generations:
            await self.goes_on(chance)

    def acts(self) -> list[Act]:
        """What it may do at its depth."""
        return [*ALONE, *NODES, *((NESTED * 3) if self.depth < DEPTH else [])]

    async def node(self, tag: str, depth: int) -> None:
        chance = random.Random(f"{self.name} {tag}")
        for number in range(chance.randrange(1, 3)):
            act = chance.choice(ALONE if depth > 1 or chance.random() < 0.7 else NODES)
            await act(self, f"{tag}.{number}", depth)

    async def fails(self, chance: random.Random) -> None:
        """Raises, having asked for a timer, a signal or a call in the same pump or not."""
        left = [step("left behind"), asyncio.sleep(30), context.wait_for_signal("loud")]
        chance.shuffle(left)
        tasks = [asyncio.create_task(one) for one in left[: chance.randrange(4)]]
        for one in left[len(tasks) :]:
            one.close()
        if chance.random() < 0.5:
            await step("before it fails")
        else:
            await asyncio.sleep(0)
        self.live("fails and is tried again")
        raise Boom("by its own plan")

    async def goes_on(self, chance: random.Random) -> None:
        """Continues, with calls and timers open or not."""
        if chance.random() < 0.5:
            calls = [asyncio.create_task(step("left open", number)) for number in range(5)]
            self.left = [*calls, asyncio.create_task(asyncio.sleep(20))]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        self.live("continue_as")
        context.continue_as(self.seed, self.depth, self.generation + 1, heard=self.heard)

    # ------------------------------------------------------------------------------------------------- other workflows

    async def nests(self, tag: str, _depth: int) -> None:
        await self.calls_another(tag, story(hash_of(tag), self.depth + 1))

    async def nests_many(self, tag: str, _depth: int) -> None:
        many = [story(hash_of(f"{tag}{one}"), self.depth + 1) for one in range(2)]
        found = await asyncio.gather(*many, return_exceptions=True)
        self.trace.append((tag, [type(one).__name__ for one in found]))
        self.live("nested workflows in a gather")

    async def hires(self, tag: str, _depth: int) -> None:
        await self.calls_another(tag, crew(hash_of(tag), self.depth + 1))

    async def calls_another(self, tag: str, call: Any) -> None:
        self.live(f"a nested workflow, {self.depth + 1} deep")
        try:
            trace, _ = await call
            self.trace.append((tag, len(trace)))
        except (RunError, RuntimeError) as error:
            self.live("a nested workflow that ended badly")
            self.trace.append((tag, type(error).__name__))

    async def gives_one_up(self, tag: str, _depth: int) -> None:
        try:
            async with asyncio.timeout(4):
                await story(hash_of(tag), self.depth + 1)
        except (TimeoutError, RunError, RuntimeError) as error:
            self.live("a nested workflow under a timeout")
            self.trace.append((tag, type(error).__name__))

    async def leaves_behind(self, tag: str, _depth: int) -> None:
        call = story(hash_of(tag), self.depth + 1).using(on_parent_end="abandon")
        self.left.append(asyncio.create_task(call))
        await step(tag)
        self.live("on_parent_end abandon")

    # ------------------------------------------------------------------------------------------------------ more acts

    async def listen(self, name: str) -> int:
        told: int = await context.wait_for_signal(name)
        self.heard.append(told)
        return told

    async def hears(self, tag: str, _depth: int) -> None:
        try:
            async with asyncio.timeout(3):
                self.trace.append((tag, await self.listen("loud")))
            self.live("a signal under a timeout: it came")
        except TimeoutError:
            self.trace.append((tag, "silence"))
            self.live("a signal under a timeout: it did not come")

    async def hears_all(self, tag: str, _depth: int) -> None:
        self.trace.append((tag, await asyncio.gather(*(self.listen(name) for name in ("loud", "soft", "loud")))))
        self.live("signals in a gather")

    async def waits_for_an_event(self, tag: str, depth: int) -> None:
        event = asyncio.Event()

        async def sets() -> None:
            try:
                await step(tag)
            finally:
                event.set()

        await asyncio.gather(sets(), event.wait(), self.node(tag, depth + 1))
        self.live("Event")

    async def shares_results(self, tag: str, _depth: int) -> None:
        self.trace.append((tag, await asyncio.gather(*(pure(number % 2) for number in range(3)))))
        self.live("equal calls")

    async def maps(self, tag: str, _depth: int) -> None:
        found: list[int] = []
        async for one in step.map([tag] * 6, range(6), concurrency=2):
            found.append(one)
            if one % 10 == 0:
                break  # what is under way is given up
        self.trace.append((tag, found))
        self.live("map")

    async def changes(self, tag: str, _depth: int) -> None:
        if self.build and context.patch("second-build"):
            self.live("patch: the new way")
            self.trace.append((tag, await asyncio.gather(step(tag, 1), step(tag, 2))))
        else:
            self.live("patch: the old way")
            self.trace.append((tag, await step(tag)))


def hash_of(tag: str) -> int:
    """A seed for a nested story."""
    return random.Random(tag).randrange(1 << 30)


def counted(name: str, act: Act) -> Act:
    """An act that is counted when it is over."""

    async def do(self: Story, tag: str, depth: int) -> None:
        await act(self, tag, depth)
        self.live(name)

    return do


async def retries(self: Story, tag: str, _depth: int) -> None:
    for number in range(3):
        try:
            await may_fail(tag, number)
        except RuntimeError:
            self.trace.append((tag, number, "failed"))
        else:
            return


ALONE: Final[list[Act]] = [
    counted("calls", Scene.calls), counted("a call tried again in code", retries),
    counted("timeout", Scene.times_out), counted("Semaphore and sleep", Scene.sleeps),
    counted("Queue and Lock", Scene.shares), counted("asynchronous generator", Scene.generates),
    counted("patch, now, uuid4, random", Scene.draws), Story.hears, Story.hears, Story.hears_all,
    counted("token", Scene.is_paid), counted("wait_until", Scene.until), Story.shares_results, Story.changes,
    Story.maps,
]  # fmt: skip
NODES: Final[list[Act]] = [
    counted("wait_for", Scene.waits_for), counted("gather", Scene.gathers), counted("TaskGroup", Scene.groups),
    counted("wait FIRST_COMPLETED", Scene.races), counted("as_completed", Scene.takes_as_completed),
    counted("shield", Scene.shields), Story.waits_for_an_event,
]  # fmt: skip
NESTED: Final[list[Act]] = [
    Story.nests, Story.nests, Story.nests_many, Story.hires, Story.gives_one_up, Story.leaves_behind,
]  # fmt: skip
ROUTINES: Final = (step, may_fail, pure, story, crew)
