"""The command line: reads words, calls the client or the assembly, shows what came back. It decides nothing about runs.

Nothing heavy is imported before a command needs it, so that `longshore --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point `longshore`: ends the process with 0 (done), 1 (failed) or 2 (usage)."""
    from longshore.cli.app import run

    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))
