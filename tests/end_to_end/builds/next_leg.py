"""The same workflow, beside a new version of a routine that it calls."""

from __future__ import annotations

from longshore import define
from tests.end_to_end.builds.gates import gate


@define.action(name="leg", version="2.0.0")
async def leg(number: int) -> str:
    return f"leg {number} of 2.0.0"


@define.workflow(name="route", version="1.0.0")
async def route(folder: str) -> list[str]:
    before = await leg(1)
    await gate(folder).using(pool="gates")
    return [before, await leg(2)]
