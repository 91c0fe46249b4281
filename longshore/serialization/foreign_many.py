"""Orders about many runs as foreign programs write them: JSON with only the fields that are theirs to say.

It reads nothing itself (`envelope` does); whatever else stands in such a message is refused.
"""

from __future__ import annotations

import msgspec

from longshore.core.bulks import RunFilter
from longshore.core.message import AbortBatch, AbortBulk, Bulk, Command, OpenBatch, SealBatch


class _Foreign(msgspec.Struct, tag_field="type", forbid_unknown_fields=True):
    """The root: each gives the command that it means."""

    batch_id: str

    def own(self) -> Command:
        """The same as our own clients say it."""
        raise NotImplementedError


class ForeignOpenBatch(_Foreign, tag="open_batch"):
    """Open a batch, or keep it open."""

    patience_ms: int | None = None

    def own(self) -> Command:
        """See OpenBatch."""
        return OpenBatch(self.batch_id, self.patience_ms, plain=True)


class ForeignSealBatch(_Foreign, tag="seal_batch"):
    """All of it was sent."""

    items: int | None = None

    def own(self) -> Command:
        """See SealBatch."""
        return SealBatch(self.batch_id, self.items, plain=True)


class ForeignAbortBatch(_Foreign, tag="abort_batch"):
    """No more of it will be sent."""

    reason: str = ""

    def own(self) -> Command:
        """See AbortBatch."""
        return AbortBatch(self.batch_id, self.reason, plain=True)


class ForeignBulk(msgspec.Struct, tag_field="type", tag="bulk", forbid_unknown_fields=True):
    """Order something for many runs."""

    bulk_id: str
    what: str
    filter: RunFilter
    reason: str = ""
    by: str = ""

    def own(self) -> Command:
        """See Bulk."""
        return Bulk(self.bulk_id, self.what, self.filter, self.reason, self.by, plain=True)


class ForeignAbortBulk(msgspec.Struct, tag_field="type", tag="abort_bulk", forbid_unknown_fields=True):
    """Go no further with it."""

    bulk_id: str

    def own(self) -> Command:
        """See AbortBulk."""
        return AbortBulk(self.bulk_id, plain=True)


ForeignMany = ForeignOpenBatch | ForeignSealBatch | ForeignAbortBatch | ForeignBulk | ForeignAbortBulk
