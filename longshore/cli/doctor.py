"""`longshore doctor`: runs the checks in order and shows what they found. The checks themselves are in `checks.py`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from longshore.cli.options import AsJson
from longshore.cli.problems import FAILED
from longshore.cli.screen import Screen


def doctor(as_json: AsJson = False) -> int:
    """Check broker, database, storage, clock and permissions, and say what to do."""
    from longshore.cli.examination import examine

    screen = Screen(as_json=as_json)
    with screen.status("looking"):
        findings = asyncio.run(examine())
    if screen.as_json:
        screen.document([asdict(one) for one in findings])
    else:
        rows = [[one.check, one.state, one.text] for one in findings]
        screen.table(["CHECK", "STATE", "FOUND"], rows)
        for one in findings:
            if one.advice:
                screen.text(f"{one.check}: {one.advice}", style="bold")
    return FAILED if any(one.state == "fail" for one in findings) else 0
