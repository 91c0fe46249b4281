"""Step 4: long work. In a process of its own, with a time limit, canceled from outside.

In one terminal:    longshore dev examples.step4_long
In a second one:    python examples/step4_long.py
"""

from longshore import RunCanceled, RunTimedOut, SyncClient, context, define


@define.task(name="primes", version="1.0.0", isolation="process", timeout="1m")
def primes(below: int) -> int:
    """Keeps a processor busy, and says how far it is."""
    found = 0
    for number in range(2, below):
        found += all(number % divisor for divisor in range(2, int(number**0.5) + 1))
        if number % 10_000 == 0:
            context.progress(number / below, f"{found} so far")
    return found


@define.action(name="for.ever", version="1.0.0", isolation="process")
def for_ever() -> None:
    """Never comes to an end by itself."""
    while True:  # deaf to every wish: only its own process can be ended
        pass


def main() -> None:
    """One that ends, one that is over its time, one that is canceled."""
    with SyncClient() as client:
        print(client.run(primes(20_000)), "primes below 20,000")
        limited = client.trigger(for_ever(), attempt_timeout="500ms")
        try:
            limited.result(timeout=30)
        except RunTimedOut:
            print("over its time:", limited.status())
        endless = client.trigger(for_ever())
        for change in endless.watch():
            if change.status == "EXECUTING":
                endless.cancel(reason="enough")
        try:
            endless.result(timeout=30)
        except RunCanceled:
            print("canceled:", endless.status())


if __name__ == "__main__":
    main()
