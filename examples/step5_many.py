"""Step 5: many runs from an async program: a batch, tags to find them by, delays, and the reason why something waits.

In one terminal:    longshore dev examples.step5_many
In a second one:    python examples/step5_many.py
"""

import asyncio

from longshore import Client, define


@define.action(name="square", version="1.0.0")
async def square(number: int) -> int:
    """An action is never cached."""
    return number * number


async def main() -> None:
    """2,000 runs, one that waits for its time, one that waits for a worker."""
    async with Client() as client:
        runs = await client.trigger_many([square(number).using(tags=["batch"]) for number in range(2000)])
        print(sum([await run.result() for run in runs]))
        print(len(await client.runs(tag="batch", status="COMPLETED", limit=10)), "of the newest ten completed")

        later = await client.trigger(square(12), delay="1h")
        why = await later.why_waiting()
        print(why["kind"])
        await later.cancel(reason="not needed any more")

        unknown = await client.trigger("sqaure", args=[3])  # nobody offers this: a slip of the pen
        print(await unknown.status(), "-", (await unknown.why_waiting())["text"])
        await unknown.cancel()


if __name__ == "__main__":
    asyncio.run(main())
