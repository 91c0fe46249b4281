"""What travels beside a body, in the message's headers: who, which number, which term."""

from __future__ import annotations

from typing import Final

SESSION: Final = "session"
"""On reports: the session they belong to."""
NUMBER: Final = "number"
"""On reports: the number of this body in the session, from 1, without gaps. On directives: how many numbered
directives the session has been sent since Welcome, up to and including this body; who adds up and finds another
sum has missed some. Hello, Beat, Ping, Welcome, ChildDied and Mark travel in bodies of their own, without a
number."""
TERM: Final = "term"
"""On directives and replies: the term of the coordinator that sent them."""
TAKEN: Final = "taken"
"""On directives: the last report number of this session that the ledger has."""
TRACEPARENT: Final = "traceparent"
"""On foreign triggers: W3C trace context."""

EVENTS_KEY: Final = "runs"
"""The routing key of every body of events: one holds changes of many runs, of whatever routine and queue."""

MSGPACK: Final = "application/vnd.msgpack"
JSON: Final = "application/json"


class Names:
    """The names of exchanges and queues in one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.commands = f"{namespace}.commands"  # exchange and quorum queue
        self.dead = f"{namespace}.dead"  # quorum queue
        self.reports = f"{namespace}.reports"  # exchange
        self.workers = f"{namespace}.workers"  # exchange
        self.replies = f"{namespace}.replies"  # exchange
        self.events = f"{namespace}.events"  # topic exchange
