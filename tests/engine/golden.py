"""Addresses and numbers as every supported Python must give them. Needs only the standard library: run by each
interpreter found.

As a program it prints those of all scenes as JSON.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from typing import Any

from longshore.core.ids import RunId
from longshore.engine import chance
from longshore.engine.loop import DurableTimer, WorkflowLoop, WorkflowTask
from tests.engine.golden_scenes import SCENES, Scene


class Recorder:
    """An owner that writes down what is asked, with the scene's own tags, and answers in the order asked (or in the
    reverse order); what is tagged "!..." fails."""

    def __init__(self, *, newest_first: bool = False) -> None:
        self.loop = WorkflowLoop(self)
        self.newest_first = newest_first
        self.asked: dict[str, str] = {}
        self.open: dict[str, asyncio.Future[Any] | DurableTimer] = {}

    async def call(self, tag: str) -> str:
        address = self.loop.scope().next_address()
        self.asked[address] = tag
        future: asyncio.Future[Any] = self.loop.create_future()
        self.open[address] = future
        await future
        return tag

    def timer_asked(self, timer: DurableTimer) -> None:
        timer.address = self.loop.scope().next_address()
        self.asked[timer.address] = f"timer {timer.microseconds}"
        self.open[timer.address] = timer

    def timer_canceled(self, timer: DurableTimer) -> None:
        self.open.pop(timer.address, None)

    def failure_lost(self, context: dict[str, Any]) -> None:
        raise AssertionError(context)

    def play(self, scene: Scene) -> dict[str, str]:
        """Run the scene to its end; a timer fires when no call is open, the one that is due first."""
        main = self.loop.start(scene(self.call), contextvars.copy_context())
        self.loop.pump()
        while self.open and not main.done():
            self.answer_one()
            self.loop.pump()
        self.loop.put_away()
        main.result()
        assert isinstance(main, WorkflowTask)
        return self.asked

    def answer_one(self) -> None:
        calls = [address for address, one in self.open.items() if isinstance(one, asyncio.Future)]
        if not calls:
            timers = [(one.when(), address) for address, one in self.open.items() if isinstance(one, DurableTimer)]
            calls = [min(timers, key=lambda one: one[0])[1]]
        address = calls[-1 if self.newest_first else 0]
        waiting = self.open.pop(address)
        if isinstance(waiting, DurableTimer):
            self.loop.clock = waiting.when()
            self.loop.fire(waiting)
        elif not waiting.done():
            tag = self.asked[address]
            if tag.startswith("!"):
                waiting.set_exception(RuntimeError(tag))
            else:
                waiting.set_result(None)


def addresses() -> dict[str, list[str]]:
    """Scene to addresses and tags, in the order asked; once answered in the order asked, once in reverse."""
    found = {}
    for scene in SCENES:
        for newest_first in (False, True):
            asked = Recorder(newest_first=newest_first).play(scene)
            name = scene.__name__ + (", reversed" if newest_first else "")
            found[name] = [f"{address} {tag}" for address, tag in asked.items()]
    return found


def numbers() -> list[Any]:
    """What `context.random` and `context.uuid4` give a certain run, in its second generation."""
    drawn, uuids = (chance.generator(RunId("0197-run"), 1, purpose) for purpose in ("random", "uuid4"))
    deck = list(range(20))
    drawn.shuffle(deck)
    return [
        *(drawn.random() for _ in range(3)), *(drawn.randint(-5, 10**6) for _ in range(3)), drawn.randrange(2**70),
        drawn.choice("abcdef"), deck, drawn.choices(range(9), k=4), drawn.sample(range(99), 4), drawn.gauss(0, 1),
        drawn.uniform(2, 3), drawn.getrandbits(40), drawn.randbytes(5).hex(), *(str(chance.uuid4(uuids)) for _ in "ab"),
    ]  # fmt: skip


def everything() -> dict[str, Any]:
    """What must be the same everywhere."""
    return {**addresses(), "numbers": numbers()}


if __name__ == "__main__":
    print(json.dumps(everything()))  # noqa: T201 - its only way to answer
