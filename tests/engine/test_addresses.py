"""The addresses of calls are the same in every supported Python and every process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine import golden

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "golden.json").read_text())


def interpreters() -> list[str]:
    """Every Python of a supported minor on this machine, one of each, this one first."""
    found = {f"3.{sys.version_info.minor}": sys.executable}
    for minor in ("3.11", "3.12", "3.13"):
        pyenv = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{minor}.*/bin/python"))
        candidate = str(pyenv[-1]) if pyenv else shutil.which(f"python{minor}")
        if candidate is not None:
            found.setdefault(minor, candidate)
    return list(found.values())


def test_here_the_addresses_are_the_golden_ones() -> None:
    assert golden.addresses() == EXPECTED


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
