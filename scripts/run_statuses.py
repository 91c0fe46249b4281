"""Writes docs/run-statuses.md from the table of transitions in longshore/core/run.py."""

from __future__ import annotations

from pathlib import Path

from longshore.core.run import ALLOWED, FINAL, NEW, WAITING, WITH_WORKER, Status

PAGE = Path(__file__).resolve().parent.parent / "docs" / "run-statuses.md"
HEAD = """# Run statuses

This page is made from `longshore/core/run.py` by `python scripts/run_statuses.py`; a test compares the two. What is not
in the table never happens: the ledger refuses it and records that it was asked for.

"""


def page() -> str:
    """The page as the table says it."""
    groups = (("Waiting", WAITING), ("With a worker", WITH_WORKER), ("Final", FINAL))
    lines = [f"- {name}: {', '.join(f'`{status}`' for status in Status if status in group)}" for name, group in groups]
    lines += ["", "| from | to | when |", "|---|---|---|"]
    order = [NEW, *Status]
    for start, to in sorted(ALLOWED, key=lambda pair: (order.index(pair[0]), order.index(pair[1]))):
        lines.append(f"| {f'`{start}`' if start else '(trigger)'} | `{to}` | {ALLOWED[start, to]} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
