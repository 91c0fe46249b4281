"""Runs a command in a process group of its own and kills the whole group when its own standard input ends.

So a server that a test started dies with the test process, however that one dies. It never restarts anything.
Usage: python guard.py COMMAND ARGUMENT...
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys


def main(command: list[str]) -> int:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, restore_signals=True)
    ended = os.pidfd_open(child.pid)
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        selector.register(ended, selectors.EVENT_READ)
        while not any(key.fd == ended or not os.read(key.fd, 4096) for key, _ in selector.select()):
            pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
