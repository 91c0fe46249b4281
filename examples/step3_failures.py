"""Step 3: what fails. Retries with growing pauses, giving up at once, and what the caller gets to see.

In one terminal:    longshore dev examples.step3_failures
In a second one:    python examples/step3_failures.py
"""

from longshore import AbortRun, RetryAfter, RunFailed, SyncClient, context, define


@define.action(name="shaky", version="1.0.0", max_attempts=3)
def shaky(works_at: int) -> str:
    """Fails until a certain attempt."""
    if context.attempt < works_at:
        raise RetryAfter(0.2, f"attempt {context.attempt} is too early")
    return f"worked at attempt {context.attempt}"


@define.action(name="divide", version="1.0.0", max_attempts=1)
def divide(a: float, b: float) -> float:
    """Fails for b = 0."""
    return a / b


@define.action(name="refuse", version="1.0.0", max_attempts=100)
def refuse() -> None:
    """Knows that it will never work."""
    raise AbortRun("no attempt would help")


def main() -> None:
    """Three failures and what is seen of them."""
    with SyncClient() as client:
        print(client.run(shaky(works_at=2)))
        try:
            client.trigger(divide(1, 0)).result()
        except RunFailed as error:
            print(error.status, "because of", repr(error.__cause__))
        aborted = client.trigger(refuse())
        try:
            aborted.result()
        except RunFailed as error:
            print(error.status, "at attempt", aborted.info()["attempt"])


if __name__ == "__main__":
    main()
