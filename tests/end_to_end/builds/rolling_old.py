"""The build that is to be exchanged: it offers 1.0.0."""

from __future__ import annotations

from tests.end_to_end.builds.rolling import routines

globals().update(routines("old", "1.0.0"))
