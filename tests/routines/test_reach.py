"""Which exceptions of called routines a workflow knows depends on its code, never on what its worker was given."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from longshore.core.errors import RemoteError
from longshore.routines.reach import modules_of
from longshore.serialization.failures import decode_failure, encode_failure

FILES = {
    "reach_errors.py": "class MyError(Exception): pass\n",
    "reach_acts.py": """
from longshore import define
import reach_errors
import json.decoder

@define.action(name="act", version="1.0.0")
def act() -> None:
    raise reach_errors.MyError("bad")
""",
    "reach_flows.py": """
from longshore import define
from reach_acts import act

@define.workflow(name="flow", version="1.0.0")
async def flow() -> None:
    await act()
""",
    "reach_others.py": "class Other(Exception): pass\n",
}


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A workflow in one module, what it calls in another, its errors in a third; a fourth that nobody names."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("reach_others")
    yield importlib.import_module("reach_flows")
    for name in FILES:
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)


def test_what_the_module_imports_is_known_and_what_its_own_neighbours_import_in_turn(flows: ModuleType) -> None:
    known = modules_of(flows.flow.function)
    assert known[0] == "reach_flows"
    assert {"reach_acts", "reach_errors", "json"} <= set(known)
    assert "reach_others" not in known
    assert "json.scanner" not in known  # a library's own imports are its own affair


def test_a_childs_exception_comes_back_as_its_class_where_the_code_could_name_it(flows: ModuleType) -> None:
    errors, others = importlib.import_module("reach_errors"), importlib.import_module("reach_others")
    known = modules_of(flows.flow.function)
    assert type(decode_failure(encode_failure(errors.MyError("bad")), modules=known)) is errors.MyError
    assert type(decode_failure(encode_failure(others.Other("bad")), modules=known)) is RemoteError
