"""What a client says of idempotency keys beside its triggers: freeing one. It decides nothing; the ledger does."""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from longshore.client.fields import Fields, row
from longshore.core.errors import UsageError
from longshore.core.ids import RunId, is_run_id
from longshore.core.message import Order, ResetKey
from longshore.core.names import split_routine
from longshore.routines import Routine


class Talk(Protocol):
    """As much of a conversation as is needed here."""

    async def order(self, order: Order) -> Any: ...


class KeyVerbs:
    """The verbs of a client that are about idempotency keys."""

    __slots__ = ()

    def _talk(self) -> Talk:
        raise NotImplementedError

    def _project(self) -> str:
        raise NotImplementedError

    async def reset_idempotency_key(
        self,
        routine: str | Routine[..., Any],
        key: str,
        *,
        run_id: str | UUID | None = None,
        producer: str | None = None,
    ) -> Fields:
        """Free an idempotency key of a routine: the next trigger with it is a new run; the one before goes on.

        `producer` is whose the key is (by default this client's project), `run_id` a workflow whose calls have it in
        the scope "run". Gives `routine`, `key`, `producer`, `reset` (false: nobody held it) and the `run_id` that held
        it. Raises Rejected (`idempotency_key`, `producer`), UsageError.
        """
        name = routine.name if isinstance(routine, Routine) else routine
        if not isinstance(name, str) or not name or not isinstance(key, str) or not key:
            raise UsageError(f"reset_idempotency_key({routine!r}, {key!r}): give a routine, or its name, and the key")
        found, reason = split_routine(name)
        if not found:
            raise UsageError(reason)
        parent = "" if run_id is None else str(run_id)
        if parent and not is_run_id(parent):
            raise UsageError(f"run_id {parent!r} is no UUID in canonical form (36 characters, lower case)")
        if producer is not None and (not isinstance(producer, str) or not producer or parent):
            raise UsageError(
                f"producer={producer!r}: the name of who has the key; one in the scope 'run' is its workflow's own"
            )
        whose = producer or ("" if parent else self._project())
        return row(await self._talk().order(ResetKey(name, key, RunId(parent), whose)))
