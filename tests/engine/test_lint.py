"""The lint names each line of a workflow that would not do the same again, and no other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from longshore import define
from longshore.engine.lint import Finding, lint
from longshore.routines.catalog import collect
from tests.engine import lint_me

FILE = Path(str(lint_me.__file__))
LINES = FILE.read_text().splitlines()


def expected() -> dict[int, str]:
    """Line number to the words that the finding there must have."""
    return {number: line.partition("# ! ")[2] for number, line in enumerate(LINES, 1) if "# ! " in line}


def found() -> list[Finding]:
    return lint(collect([lint_me]))


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(LINES, 1) if text in line)


def test_every_marked_line_is_found_with_its_alternative_and_no_other() -> None:
    task_line = line_of("return time.time(), random.random(), open(os.environ")
    findings = [finding for finding in found() if finding.line != task_line]
    assert {finding.line for finding in findings} == set(expected())
    for finding in findings:
        assert expected()[finding.line] in str(finding), finding


def test_a_plain_function_of_a_task_that_a_workflow_names_is_read_like_any_helper() -> None:
    task_line = line_of("return time.time(), random.random(), open(os.environ")
    whats = [finding.what for finding in found() if finding.line == task_line]
    assert sorted(whats) == ["open()", "os.environ", "random.random()", "time.time()"]
    assert not lint([lint_me.in_order, lint_me.marked, lint_me.marked_whole, lint_me.shadowed, lint_me.task])


def test_the_text_names_place_workflow_helper_reason_and_what_to_do() -> None:
    (finding,) = [finding for finding in found() if finding.inside == "deeper"]
    assert str(finding) == (
        f"{FILE}:{finding.line}: workflow by_way@1.0.0 (in deeper): time.time() reads the clock, and this code runs "
        "again whenever the run is resumed: use context.now (where it cannot matter, mark the line `# longshore: "
        "deterministic`)"
    )


def test_a_helper_of_two_workflows_is_named_once() -> None:
    @define.workflow(name="other", version="1.0.0")
    async def other() -> Any:
        return lint_me.helper()

    assert len(lint([lint_me.by_way, other])) == len(lint([lint_me.by_way]))


def test_functions_of_other_packages_are_not_read() -> None:
    @define.workflow(name="far", version="1.0.0")
    async def far() -> Any:
        return re.compile("a"), subprocess.list2cmdline([])

    assert [finding.what for finding in lint([far])] == ["subprocess.list2cmdline()"]


def test_a_closure_is_looked_into() -> None:
    import time as clock

    def measured() -> float:
        return clock.time()

    @define.workflow(name="closed", version="1.0.0")
    async def closed() -> Any:
        return measured()

    assert [(finding.what, finding.inside.rpartition(".")[2]) for finding in lint([closed])] == [
        ("time.time()", "measured")
    ]


SOURCE = """
from longshore import define
import time

@define.workflow(name="w", version="1.0.0")
async def w():
    return time.time()
"""


def imported(path: Path, source: str) -> Any:
    module = ModuleType("made_up")
    module.__file__ = str(path)
    exec(compile(source, str(path), "exec"), vars(module))
    return module


def test_source_that_is_missing_other_than_it_was_or_broken_is_passed_over(tmp_path: Path) -> None:
    for number, text in enumerate([None, "", "def w(:\n", SOURCE.replace("async def w", "async def v"), "\0"]):
        path = tmp_path / f"made_up_{number}.py"
        if text is not None:
            path.write_text(text)
        assert lint([imported(path, SOURCE).w]) == []
    path = tmp_path / "whole.py"
    path.write_text(SOURCE)
    assert [finding.line for finding in lint([imported(path, SOURCE).w])] == [7]


def test_it_runs_nothing_of_the_user(tmp_path: Path) -> None:
    source = SOURCE.replace("import time", "import time\nlazy = Lazy()\nmeta = Meta('m', (), {})").replace(
        "time.time()", "lazy, lazy.now(), meta.now(), lazy.x.y, time.time()"
    )
    trap = """
class Lazy:
    def __getattribute__(self, name): raise AssertionError(name)
class Meta(type):
    def __getattr__(self, name): raise AssertionError(name)
    def __eq__(self, other): raise AssertionError(other)
    __hash__ = None
"""
    path = tmp_path / "traps.py"
    path.write_text(trap + source)
    assert [finding.what for finding in lint([imported(path, trap + source).w])] == ["time.time()"]


@pytest.mark.parametrize("module", ["longshore.demo"])
def test_our_own_workflows_are_clean(module: str) -> None:
    assert lint(collect([module])) == []
