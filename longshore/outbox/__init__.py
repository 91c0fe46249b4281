"""A trigger inside the user's own database transaction: it is sent when, and only when, that commits.

    outbox = OutboxTable(metadata)                     # one more table of theirs
    run_id = outbox.add(session, train(data))          # in their transaction, beside their own rows
    async with OutboxRelay(engine, client, outbox): ...  # or `longshore outbox relay --database-url ...`

It decides nothing about a run. That nothing is sent twice, the run ids see to, which are given when a row is written.
"""

from longshore.outbox.relay import OutboxRelay
from longshore.outbox.table import OutboxTable

__all__ = ["OutboxRelay", "OutboxTable"]
