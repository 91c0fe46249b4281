"""Step 2: a workflow. Plain asyncio, but durable: it goes on after a crash, and holds no slot while it waits.

In one terminal:    longshore dev examples.step2_workflow
In a second one:    python examples/step2_workflow.py
"""

import asyncio

from longshore import SyncClient, define


@define.task(name="words.count", version="1.0.0")
def count(line: str) -> int:
    """Words of one line."""
    return len(line.split())


@define.task(name="words.total", version="1.0.0")
async def total(counts: list[int]) -> int:
    """The second stage."""
    return sum(counts)


@define.workflow(name="words", version="1.0.0")
async def words(text: str) -> str:
    """Fan out, wait, join."""
    counts = await asyncio.gather(*(count(line) for line in text.splitlines()))
    await asyncio.sleep(0.5)  # a durable timer: it would survive 30 days and a restart
    return f"{await total(counts)} words in {len(counts)} lines"


POEM = """so much depends
upon
a red wheel
barrow"""


def main() -> None:
    """Start it, wait for it, look at its parts."""
    with SyncClient() as client:
        run = client.trigger(words(POEM))
        print(run.result(timeout=60))
        for row in run.tree():
            print(row["routine"], row["status"])


if __name__ == "__main__":
    main()
