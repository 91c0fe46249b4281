"""What `longshore.context` gives inside a workflow: time, chance, patches and waits, alike in every replay.

It reads no clock and no entropy of this machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, NoReturn
from uuid import UUID

from longshore.core.errors import UsageError
from longshore.core.ids import RunId
from longshore.engine import chance
from longshore.engine.loop import WorkflowLoop
from longshore.engine.waits import Waits

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class Inside:
    """One per execution; see `routines.context.Durable`. The generators are made when first asked for."""

    __slots__ = (
        "_continue",
        "_generation",
        "_loop",
        "_patched",
        "_random",
        "_seed",
        "_started_at",
        "_uuids",
        "_waits",
    )

    def __init__(
        self,
        loop: WorkflowLoop,
        started_at: datetime,
        seed: RunId,
        generation: int,
        patched: Callable[[str], bool],
        waits: Callable[[], Waits],
        going_on: Callable[[Sequence[Any], Mapping[str, Any]], NoReturn],
    ) -> None:
        self._continue = going_on
        self._loop = loop
        self._started_at = started_at
        self._seed = seed
        self._generation = generation
        self._patched = patched
        self._waits = waits
        self._random: Random | None = None
        self._uuids: Random | None = None

    @property
    def now(self) -> datetime:
        """The instant of the fact that the code is answering."""
        return self._started_at + timedelta(seconds=self._loop.clock)

    @property
    def random(self) -> Random:
        """This generation's generator."""
        if self._random is None:
            self._random = chance.generator(self._seed, self._generation, "random")
        return self._random

    def continue_as(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NoReturn:
        """The end of this generation."""
        self._continue(args, kwargs)

    def uuid4(self) -> UUID:
        """The next one."""
        if self._uuids is None:
            self._uuids = chance.generator(self._seed, self._generation, "uuid4")
        return chance.uuid4(self._uuids)

    def patch(self, name: str) -> bool:
        """Whether it applies to this run."""
        return self._patched(check_patch(name))

    def wait_until(self, at: datetime) -> Coroutine[Any, Any, None]:
        """Until that instant."""
        return self._waits().until(at)

    def wait_for_signal(self, name: str) -> Coroutine[Any, Any, Any]:
        """Its value."""
        return self._waits().for_signal(name)

    def create_token(self, timeout: str | float | timedelta | None) -> Coroutine[Any, Any, str]:
        """Its text."""
        return self._waits().create_token(timeout)

    def wait_for_token(self, token: str) -> Coroutine[Any, Any, Any]:
        """What it is completed with."""
        return self._waits().for_token(token)


def check_patch(name: object) -> str:
    """The name of a patch. Raises UsageError."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise UsageError(
        f"context.patch({name!r}): a patch is named by a text of its own, 1 to 128 letters, digits, '_', '.' or '-', "
        'for instance context.patch("sum-in-parts")'
    )
