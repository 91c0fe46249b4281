"""What the code in a child process says of itself while it runs, a few words a second at most; the latest is not lost.

It never waits for an answer, and says nothing of an attempt that is over.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Final

from longshore.core.message import Edit
from longshore.routines.context import Voice
from longshore.worker.attempt import Attempt
from longshore.worker.bench import Bench
from longshore.worker.edits import Pending
from longshore.worker.frames import Alive, Edited, Kept, Pipe, Said

EVERY: Final = 0.1
"""Seconds between two words at least."""


class ChildVoice(Voice):
    """One per child process; `attempt` is the one it speaks for. Any thread may speak; what comes too soon is said by a
    thread of its own."""

    def __init__(self, pipe: Pipe, bench: Bench) -> None:
        self.attempt: Attempt | None = None
        self._pipe = pipe
        self._bench = bench
        self._lock = threading.Lock()
        self._said: Said | None = None  # what waits to be said
        self._alive = False
        self._edits = Pending()
        self._spoke_at = 0.0
        self._late = threading.Event()
        self._thread: threading.Thread | None = None

    def progress(self, fraction: float, text: str) -> None:
        """See Voice."""
        with self._lock:
            self._said = Said(fraction, text)
            self._speak_in_time()

    def show_life(self) -> None:
        """See Voice."""
        with self._lock:
            self._alive = True
            self._speak_in_time()

    def keep(self, value: Any) -> None:
        """See Voice. It is sent at once."""
        attempt = self.attempt
        if attempt is None:
            return
        kept = self._bench.keep(attempt, value)
        if kept is None:
            self.show_life()
        else:
            attempt.saved = kept
            self._pipe.send(Kept(kept))

    def edit(self, target: str, edit: Edit) -> None:
        """A change of metadata; what waits is merged, and nothing of it is lost."""
        with self._lock:
            self._edits.add(target, edit)
            self._speak_in_time()

    def flush(self) -> None:
        """Say at once what waits."""
        with self._lock:
            self._speak()

    def _speak_in_time(self) -> None:
        if time.monotonic() - self._spoke_at >= EVERY:
            self._speak()
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._speak_for_ever, name="longshore-voice", daemon=True)
            self._thread.start()
        self._late.set()

    def _speak_for_ever(self) -> None:
        while self._late.wait():
            self._late.clear()
            time.sleep(EVERY)
            self.flush()

    def _speak(self) -> None:
        word: Said | Alive | None = self._said or (Alive() if self._alive else None)
        self._said, self._alive = None, False
        words = [*([] if word is None else [word]), *map(Edited, self._edits.take())]
        if words:
            self._spoke_at = time.monotonic()
            with contextlib.suppress(OSError):  # the worker is gone, and so are we in a moment
                for one in words:
                    self._pipe.send(one)
