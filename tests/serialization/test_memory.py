"""A large value needs its own memory and a bounded rest, in the process that stores it and in the one that reads it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOM = 96  # MiB above the size of a value of 256 MiB
ROOM_OF_SMALLER = 32  # and of one of about 64 MiB
MIB = 1 << 20

PREPARE = """
import sys, re, json
from pathlib import Path
from longshore.payloads.cargo import Cargo
from longshore.payloads.folder import FolderStore
from longshore.core.message import ClaimCheck
from longshore.serialization.values import encode, decode_stream

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

def reset():
    Path("/proc/self/clear_refs").write_text("5")

store = FolderStore(Path(sys.argv[1]))
"""
WRITE = """
value = {make}
reset()
own = peak()
check = Cargo(store).stow(encode(value), "big")
print(json.dumps([check.key, check.size, check.sha256, peak() - own]))
"""
READ = """
reset()
before = peak()
value = Cargo(store).load(ClaimCheck(*json.loads(sys.argv[2])[:3]))
print(json.dumps([peak() - before, {check}]))
"""
STRINGS_IN_MEMORY = 2_000_000 * (49 + 12 + 8 + 3) / MIB  # header, text, pointer, rounding

CASES = {
    "text of ASCII": ("'x' * (256 << 20)", "value == 'x' * (256 << 20)", 256.0),
    "text of Latin-1": ("'é' * (64 << 20)", "value == 'é' * (64 << 20)", 64.0),
    "text of the basic plane": ("'€' * (32 << 20)", "value == '€' * (32 << 20)", 64.0),
    "text of all widths": (  # the string has 4 bytes for each character, once the first wide one has come
        "'x' * (2 << 20) + 'x é €😀' * (2 << 20)",
        "value == 'x' * (2 << 20) + 'x é €😀' * (2 << 20)",
        4.0 * (2 + 6 * 2),
    ),
    "bytes": ("b'x' * (256 << 20)", "value == b'x' * (256 << 20)", 256.0),
    "strings": (
        "['item %07d' % n for n in range(2_000_000)]",
        "len(value) == 2_000_000 and value[-1]",
        STRINGS_IN_MEMORY,
    ),
    "array": (
        "__import__('numpy').arange(32 << 20, dtype='i8')",
        "bool((value == __import__('numpy').arange(32 << 20)).all())",
        256.0,
    ),
}


def run(program: str, *arguments: str) -> list[float]:
    command = [sys.executable, "-c", PREPARE + program, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=110, check=False, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.returncode == 0, done.stderr
    result: list[float] = json.loads(done.stdout)
    return result


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
@pytest.mark.parametrize("kind", list(CASES))
def test_a_large_value_passes_with_little_more_than_its_own_memory(kind: str, tmp_path: Path) -> None:
    if kind == "array":
        pytest.importorskip("numpy")
    make, check, own = CASES[kind]
    room = ROOM if own > 64 else ROOM_OF_SMALLER
    written = run(WRITE.format(make=make), str(tmp_path))
    assert written[3] < room
    read = run(READ.format(check=f"({check}) and 1"), str(tmp_path), json.dumps(written))
    assert read[0] < own + room
    assert read[1] == 1
    print(f"{kind}: writing {written[3]:.0f} MiB above the value, reading {read[0] - own:.0f} MiB")  # noqa: T201
