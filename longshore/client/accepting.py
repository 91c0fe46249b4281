"""Between a trigger and its acceptance: one's turn among thousands, a wait with an end, a refusal as an error. It sends
nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from longshore.client.conversation import Conversation
from longshore.client.crowd import FOR_EVER
from longshore.client.link import Link, Unanswered
from longshore.client.run import Run
from longshore.core import message
from longshore.core.errors import NotYetAccepted, Rejected
from longshore.core.message import Accepted, RunChanged, Trigger


async def turn(link: Link, accept: float | None, limit: float | None) -> tuple[float | None, float | None]:
    """Wait for one's turn; gives what is left of both times (None: no bound)."""
    within = min(FOR_EVER if accept is None else accept, FOR_EVER if limit is None else limit)
    took = await link.turn(within)
    return (
        None if accept is None else max(round(accept - took, 3), 0.0),
        None if limit is None else max(round(limit - took, 3), 0.0),
    )


async def within(waiter: asyncio.Future[Any], seconds: float) -> Any:
    """What the waiter gets. Raises TimeoutError after so many seconds."""
    async with asyncio.timeout(seconds):
        return await waiter


def refusal(reply: message.Reply | Unanswered, run: Run[Any], timeout: float | None) -> Rejected | NotYetAccepted:
    """What to raise for a trigger that was refused, or that no coordinator has answered within `timeout` seconds."""
    if isinstance(reply, message.Rejected):
        return Rejected(reply.rule, reply.text, run_id=reply.run_id)
    return NotYetAccepted(
        f"the broker has the trigger of {run.routine} {run.id}, but no coordinator has answered within {timeout:g} s; "
        "it runs once one is there",
        run=run,
    )


async def accepted(
    talk: Conversation, trigger: Trigger, limit: float | None, module: str, *, own_id: bool = True
) -> Run[Any]:
    """Send a trigger and wait until the ledger has it; `own_id`: its run id is not made for this trigger alone. Raises
    as `Client.trigger`."""
    errand = talk.begin(trigger, limit)
    try:
        answer = await errand.waiter
    except asyncio.CancelledError as error:
        raise talk.given_up(errand, error, None) from None
    reply = talk.reply(errand, answer, limit)
    run: Run[Any] = Run(talk, trigger.run_id, trigger.routine, module)
    if type(reply) is Accepted:
        # A new id that is known already is this very trigger, sent twice.
        run.existing = reply.existing and (own_id or reply.run_id != trigger.run_id)
        run.id = reply.run_id  # another one than asked for where the idempotency key was known already
    elif type(reply) is not RunChanged:
        raise refusal(reply, run, limit)
    return run
