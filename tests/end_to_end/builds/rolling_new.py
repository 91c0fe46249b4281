"""The build at the end: nothing old is offered any more."""

from __future__ import annotations

from tests.end_to_end.builds.rolling import routines

globals().update(routines("new", "2.0.0"))
