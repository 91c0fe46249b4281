"""A child process's stderr: passed on as it comes, its end remembered, for the one who asks why the process died."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Final

LONGEST: Final = 4000
"""Bytes that are remembered."""
_PIECE: Final = 1 << 16
_OURS: Final = 2


class Tail:
    """Reads one pipe to its end in a thread of its own."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._read, name="longshore-stderr", daemon=True)
        self._thread.start()

    def text(self, within: float) -> str:
        """The end of what was written, once the pipe is closed or `within` seconds are over."""
        self._thread.join(within)
        return self._kept.decode("utf-8", "replace").strip()

    def forget(self) -> None:
        """What comes from here on is somebody else's."""
        self._kept = b""

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(self._pipe, _PIECE):
                self._kept = (self._kept + piece)[-LONGEST:]
                with contextlib.suppress(OSError):
                    os.write(_OURS, piece)
        os.close(self._pipe)
