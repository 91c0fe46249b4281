"""Spans and log correlation. Set up by entry points only; without a backend every call is nearly free.

It never decides anything about a run, never blocks its caller, and loses spans rather than memory.
"""

from longshore.telemetry.ids import child, root
from longshore.telemetry.log import CURRENT, LogScope, setup_logging
from longshore.telemetry.spans import Kind, Telemetry
from longshore.telemetry.start import setup

__all__ = ["CURRENT", "Kind", "LogScope", "Telemetry", "child", "root", "setup", "setup_logging"]
