"""Rules of versions: which one a run asks for, and how long it waits for one that nobody offers. They place nothing."""

from __future__ import annotations

from datetime import datetime, timedelta

from longshore.core.ledger.state import Round, State
from longshore.core.message import Options
from longshore.core.run import Run
from longshore.core.versions import LATEST, is_version


def check(routine: str, options: Options) -> tuple[str, str] | None:
    """(rule, what is wrong) with the version in the options, or None: it is none, or it says another one than the
    routine's own text."""
    version = options.version
    if not version:
        return None
    if version != LATEST and not is_version(version):
        return "version", f"{version[:64]!r} is no version: major.minor.patch, optionally with -dev, or {LATEST}"
    named = routine.partition("@")[2]
    if named and named != version:
        return "version", f"{routine[:256]} and version {version} name two versions: give one of them"
    return None


def asked(options: Options) -> str:
    """The version that the options ask for; "" is the newest offered."""
    return "" if options.version == LATEST else options.version


def deadline(state: State, round_: Round, run: Run) -> datetime:
    """Until when a run that becomes PENDING_VERSION now waits for a worker that offers its version."""
    if run.version_deadline_ms is None:
        return round_.now + state.config.version_deadline
    return round_.now + timedelta(milliseconds=run.version_deadline_ms)
