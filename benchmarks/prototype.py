"""The bare prototype's sequential call, measured in the same run on the same broker: what a call costs without a
product.

It is looked for in LONGSHORE_PROTOTYPE (a folder with coord.py, worker.py, client.py, common.py); without it the
figure is null.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
import common
common.URL = sys.argv[2]
runpy.run_path(sys.argv[1] + "/" + sys.argv[3], run_name="__main__")
"""


def prototype_folder() -> Path | None:
    """Where the prototype is, if it is here."""
    folder = Path(os.environ.get("LONGSHORE_PROTOTYPE", ROOT.parent / "shared" / "prototypes" / "pipeline"))
    return folder if (folder / "coord.py").exists() else None


def prototype_p50_ms(url: str) -> float | None:
    """The median of 300 sequential calls of the prototype in milliseconds."""
    folder = prototype_folder()
    if folder is None:
        return None
    with tempfile.TemporaryDirectory() as work:
        started = []
        try:
            for part in ("coord.py", "worker.py"):
                started.append(_start(folder, url, part, work, subprocess.DEVNULL))
                time.sleep(1.5)
            client = _start(folder, url, "client.py", work, subprocess.PIPE)
            started.append(client)
            assert client.stdout is not None
            line = client.stdout.readline().decode()
        finally:
            for process in started:
                process.kill()
                process.wait()
    found = re.search(r"p50 ([0-9.]+)", line)
    return float(found.group(1)) if found else None


def _start(folder: Path, url: str, part: str, work: str, out: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-W", "ignore", "-c", LAUNCH, str(folder), url, part]
    return subprocess.Popen(words, cwd=work, stdout=out, stderr=subprocess.DEVNULL)
