"""A child for the supervisor's tests: writes its session to a folder, and does as its words say until it is told to
end.

`python -m tests.worker.supervised FOLDER [fail|usage|words|groan|grumble]`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from longshore.worker.config import SESSION_VARIABLE
from longshore.worker.lifeline import heed_supervisor, say_last_words
from longshore.worker.supervisor import USAGE_STATUS


async def main(folder: Path, act: str) -> int:
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    heed_supervisor(over.set)
    session = os.environ[SESSION_VARIABLE]
    assert os.environ["PYTHONHASHSEED"] == "0"
    (folder / f"{session}.alive").write_text(str(os.getpid()))
    if act == "fail":
        return 1
    if act == "usage":
        return USAGE_STATUS
    if act == "words":
        assert say_last_words("the sails are torn\nmend them")
        return USAGE_STATUS
    if act == "groan":
        os.write(2, b"the mast is down\n")
        os.kill(os.getpid(), signal.SIGKILL)
    await over.wait()
    if act == "grumble":  # nobody reads what the supervisor gave us for stderr any more
        await asyncio.to_thread(os.write, 2, b"." * (1 << 20))
    (folder / f"{session}.drained").touch()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")))
