"""A process that must not outlive its parent: Linux tells it by a signal."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(by: signal.Signals, parent: int) -> None:
    """Get this signal when the parent ends (the thread of it that made us). Elsewhere than on Linux nothing happens:
    there the end of a pipe has to do."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), by)
