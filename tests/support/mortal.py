"""Becomes another program that dies with its parent, however that one dies: `python mortal.py COMMAND ARGUMENT...`.

It restarts nothing and stays nobody's parent: the process id is the program's own, fit for signals from a test.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked to be told
        sys.exit(1)
    os.execvp(sys.argv[1], sys.argv[1:])
