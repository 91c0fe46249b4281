"""Every example as its docstring says: `longshore dev` in one process, the script in another, and its output."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Terminal, end

PRINTED = {
    "step1_hello": """\
Hello, myself!
Hello, Ada!
Hello, Hello, Grace!
Hello, Ada! cached: True
""",
    "step2_workflow": """\
8 words in 4 lines
words COMPLETED
words.count COMPLETED
words.count COMPLETED
words.count COMPLETED
words.count COMPLETED
words.total COMPLETED
""",
    "step3_failures": """\
worked at attempt 2
FAILED because of ZeroDivisionError('float division by zero')
FAILED at attempt 1
""",
    "step4_long": """\
2262 primes below 20,000
over its time: TIMED_OUT
canceled: CANCELED
""",
    "step5_many": """\
2664667000
10 of the newest ten completed
time
PENDING_VERSION - no worker offers sqaure; did you mean square?
""",
}


@pytest.fixture
def place(tmp_path: Path) -> Terminal:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return Terminal(tmp_path)


@pytest.fixture
def dev(place: Terminal, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    process = place.start("dev", f"examples.{request.param}", "--json", stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["event"] == "ready"
        yield place
    finally:
        end(process)
        process.stdout.close()


@pytest.mark.parametrize(("dev", "name"), [(name, name) for name in PRINTED], indirect=["dev"])
def test_the_example_prints_what_it_promises(dev: Terminal, name: str) -> None:
    done = dev.python(f"examples/{name}.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout == PRINTED[name]


def test_every_example_has_its_test_and_is_short() -> None:
    files = sorted((ROOT / "examples").glob("*.py"))
    assert [file.stem for file in files if file.stem.startswith("step")] == sorted(PRINTED)
    assert [file.name for file in files if len(file.read_text().splitlines()) >= 60] == []
