"""What blocks, beside the workflows' thread: a few threads for payloads, and what a store did not answer, tried again.

It knows nothing of what it runs, and touches no workflow from its threads.
"""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Container
from typing import Any, Final

from longshore.core.errors import PayloadUnavailable
from longshore.worker.attempt import Attempt
from longshore.worker.desk import log
from longshore.worker.flow import Flow

THREADS: Final = 4
AGAIN: Final = 2.0
"""Seconds until a payload store that did not answer is tried again."""


class Asides:
    """See the module. All but `submit` are for the workflows' thread."""

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(THREADS, "longshore-workflow-payloads")
        self._again: list[tuple[float, Flow, Callable[[], object]]] = []

    def submit(self, work: Callable[..., object], *args: Any) -> None:
        """Run this in one of the threads."""
        self._pool.submit(work, *args)

    def try_again(self, flow: Flow, error: PayloadUnavailable, job: Callable[[], object]) -> None:
        """The payload store did not answer: in a while once more, for as long as the workflow is here."""
        if not flow.misses_store:
            flow.misses_store = True
            log.warning("run %s waits for the payload store: %s", flow.attempt.run_id, error)
        self._again.append((time.monotonic() + AGAIN, flow, job))

    def look(self, now: float, held: Container[Attempt]) -> None:
        """Begin again what is due; what is of no workflow held here is forgotten."""
        waiting, self._again = self._again, []
        for at, flow, job in waiting:
            if flow.attempt in held:
                if now >= at:
                    job()
                else:
                    self._again.append((at, flow, job))

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
