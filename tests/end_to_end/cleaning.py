"""Routines for the tests of cleanups: what a canceled workflow undoes leaves a line in a file, so that every execution
can be counted."""

from __future__ import annotations

import asyncio

from longshore import define
from tests.end_to_end.away import gate, leave_line
from tests.end_to_end.mortal import die

__all__ = ["gate"]


@define.action(name="cleaning.book", version="1.0.0")
async def book(folder: str, what: str) -> str:
    leave_line(folder, f"book-{what}")
    return what


@define.workflow(name="cleaning.saga", version="1.0.0")
async def saga(folder: str, *wanted: str) -> None:
    """Books one after another, waits, and takes all of it back when it is canceled."""
    booked: list[str] = []
    try:
        for what in wanted:
            booked.append(await book(folder, what).using(pool="tasks"))  # noqa: PERF401 - the list counts what is done
        await asyncio.sleep(3600)
    finally:
        for what in reversed(booked):
            await gate(folder, f"undo-{what}").using(pool="tasks")


@define.workflow(name="cleaning.endless", version="1.0.0")
async def endless(folder: str) -> None:
    """A cleanup that never ends."""
    try:
        await asyncio.sleep(3600)
    finally:
        await book(folder, "undo").using(pool="tasks")
        await asyncio.sleep(3600)


@define.workflow(name="cleaning.deadly", version="1.0.0")
async def deadly(folder: str) -> None:
    """A cleanup that takes its worker with it, in every replay."""
    try:
        await asyncio.sleep(3600)
    finally:
        await book(folder, "undo").using(pool="tasks")
        die()
