"""The doctor's round: which checks are made, in which order, and which make no sense once another has failed."""

from __future__ import annotations

import asyncio
import os

from longshore.assembly.places import broker_in_force, is_local
from longshore.cli import checks
from longshore.cli.checks import Finding
from longshore.cli.checks_bus import check_bus, check_coordinator
from longshore.core.errors import SettingsError
from longshore.settings import Settings, load


async def examine() -> list[Finding]:
    """All findings. What depends on something that failed is left out: its failure would say nothing new."""
    try:
        settings = load()
    except SettingsError as error:
        return [Finding("settings", "fail", str(error), "correct the variable, or the same name in longshore.toml")]
    found = [checks.check_variables(os.environ)]
    found.append(checks.check_folders(settings))
    found.append(checks.check_database(settings))
    found.append(checks.check_free_disk(settings))
    found.append(await asyncio.to_thread(checks.check_storage, settings))
    return found + await _broker(settings)


async def _broker(settings: Settings) -> list[Finding]:
    url = broker_in_force(settings)
    found = [await asyncio.to_thread(checks.check_address, url)]
    if _failed(found):
        return found
    if is_local(url):
        found.append(checks.check_socket(url))
    talk = await check_bus(settings, url)
    if _failed(talk):
        return found + talk
    return found + talk + await check_coordinator(settings)


def _failed(findings: list[Finding]) -> bool:
    return any(finding.state == "fail" for finding in findings)
