"""Routines that the client's tests trigger; the scripted coordinator executes those it knows."""

from __future__ import annotations

from typing import Any

from longshore.routines import define


@define.task(name="add", version="1.0.0")
def add(x: int, y: int = 1) -> int:
    return x + y


@define.action(name="slow", version="1.0.0")
def slow(data: object = None) -> Any:
    return 1


@define.action(name="fail", version="1.0.0")
def fail(text: str) -> None:
    raise ValueError(text)
