"""What stays the same in every build: a gate that opens when somebody says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

from longshore import define


@define.action(name="gate", version="1.0.0")
async def gate(folder: str) -> str:
    (Path(folder) / "gate.begun").touch()
    while not (Path(folder) / "go").exists():
        await asyncio.sleep(0.01)
    return "open"
