"""The build between: it offers 2.0.0, and 1.0.0 still."""

from __future__ import annotations

from tests.end_to_end.builds.rolling import routines

globals().update(routines("both", "1.0.0") | routines("both", "2.0.0"))
