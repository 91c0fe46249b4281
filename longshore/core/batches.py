"""What a batch is: many runs sent under one name, and whether all of them came.

It is plain data; the rules are in `ledger/batching.py`.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

import msgspec

OPEN: Final = "open"
SEALED: Final = "sealed"
ABORTED: Final = "aborted"
BATCH_ID: Final = re.compile(r"[A-Za-z0-9._:@+=~-]{1,128}", re.ASCII)
"""What names a batch."""
BATCH_ID_RULE: Final = "a batch is named by 1 to 128 letters, digits and `._:@+=~-`"
UNKNOWN: Final = -1


class Batch(msgspec.Struct, kw_only=True, gc=False):
    """A batch. It is open while its items come, sealed when its sender says that they have all come, and aborted when
    its sender is not heard any more before that. `items` is how many its sender says there are (-1: not said)."""

    id: str
    status: str = OPEN
    created_at: datetime
    closed_at: datetime | None = None
    runs: int = 0  # begun by its items
    existing: int = 0  # items that were runs already, by their idempotency key
    refused: int = 0  # items refused by a rule
    items: int = UNKNOWN
    patience_ms: int
    reason: str = ""
    heard: int = 0  # the Mark at which its sender was last heard (not stored)

    @property
    def complete(self) -> bool:
        """Whether as many items have come as there are."""
        return self.items != UNKNOWN and self.runs + self.existing + self.refused >= self.items


def said_at(at: datetime | None) -> str | None:
    """A time in UTC as people and programs read it."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def fields_of(batch: Batch) -> dict[str, Any]:
    """A batch as people and programs see it."""
    return {
        "batch_id": batch.id,
        "status": batch.status,
        "created_at": said_at(batch.created_at),
        "closed_at": said_at(batch.closed_at),
        "runs": batch.runs,
        "existing": batch.existing,
        "refused": batch.refused,
        "items": None if batch.items == UNKNOWN else batch.items,
        "reason": batch.reason,
    }
