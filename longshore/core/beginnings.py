"""What a round changes about how runs begin, beside the runs themselves. Plain records; they decide nothing."""

from __future__ import annotations

import msgspec

from longshore.core.ids import RunId


class Beginnings(msgspec.Struct, gc=False):
    """A part of `Changes`."""

    reruns: list[tuple[RunId, RunId]] = []
    """New runs (in `Changes.inserted`) and those whose input, tags and metadata they take over, as they were when the
    batch was decided."""

    def is_durable(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self.reruns)
