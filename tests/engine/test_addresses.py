"""The addresses of calls, and the numbers drawn by chance, are the same in every supported Python and every process."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine import golden

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "golden.json").read_text())


def interpreters() -> list[str]:
    """Every Python of a supported minor on this machine, one of each, this one first."""
    found = {f"3.{sys.version_info.minor}": sys.executable}
    for minor in (f"3.{number}" for number in range(11, 20)):
        pyenv = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{minor}.*/bin/python"))
        candidate = str(pyenv[-1]) if pyenv else shutil.which(f"python{minor}")
        if candidate is not None:
            found.setdefault(minor, candidate)
    return list(found.values())


def test_here_the_addresses_are_the_golden_ones() -> None:
    assert golden.everything() == EXPECTED


def test_a_wait_for_outside_of_workflows_is_asyncios_own() -> None:
    async def waits() -> list[Any]:
        late = asyncio.ensure_future(asyncio.sleep(60))
        try:
            await asyncio.wait_for(late, 0.001)
        except TimeoutError:
            return [await asyncio.wait_for(asyncio.sleep(0, "in time"), 5), late.cancelled()]
        return []

    golden.addresses()  # the functions of workflows are in their places
    assert asyncio.run(waits()) == ["in time", True]


@pytest.mark.parametrize("hash_seed", ["0", "1"])
@pytest.mark.parametrize("python", interpreters())
def test_in_every_python_and_with_every_hash_seed_the_addresses_are_the_golden_ones(
    python: str, hash_seed: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent), "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [python, str(HERE / "golden.py")], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == EXPECTED
    assert done.stderr == ""
