"""Step 1: a task, and a call that is executed somewhere else.

In one terminal:    longshore dev examples.step1_hello
In a second one:    python examples/step1_hello.py
"""

from longshore import SyncClient, define


@define.task(name="hello", version="1.0.0")
def hello(name: str, times: int = 1) -> str:
    """A task is pure: the same arguments give the same result."""
    return ", ".join(["Hello"] * times) + f", {name}!"


def main() -> None:
    """Here, there, and from the cache."""
    print(hello.function("myself"))  # the plain function, here and now
    with SyncClient() as client:
        print(client.run(hello("Ada")))  # on a worker
        print(client.run(hello("Grace", times="2")))  # "2" becomes 2: the annotation says so
        again = client.trigger(hello("Ada"))  # a task is cached: equal arguments, equal result
        print(again.result(), "cached:", again.info()["cached"])


if __name__ == "__main__":
    main()
