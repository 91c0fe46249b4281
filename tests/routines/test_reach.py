"""Which exceptions of called routines a workflow knows depends on its code, never on what its worker was given."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from longshore.core.errors import RemoteError
from longshore.routines.reach import modules_of
from longshore.serialization.failures import decode_failure, encode_failure
from longshore.serialization.values import encode

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
    "reach_app/__init__.py": "",
    "reach_app/models.py": "from dataclasses import dataclass\n\n@dataclass\nclass Thing:\n    x: int\n",
    "reach_app/errors.py": "class Late(Exception): pass\n",
    "reach_app/acts.py": """
from longshore import define

@define.action(name="late", version="1.0.0")
def late() -> object:
    from .models import Thing
    from reach_app import errors
    if not Thing:
        raise errors.Late
    return Thing(1)
""",
    "reach_app/flows.py": """
import reach_app.acts
from longshore import define

@define.workflow(name="waits", version="1.0.0")
async def waits() -> None:
    await reach_app.acts.late()
""",
}


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A workflow in one module, what it calls in another, its errors in a third; a fourth that nobody names."""
    (tmp_path / "reach_app").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("reach_others")
    yield importlib.import_module("reach_flows")
    for name in [name for name in sys.modules if name.startswith("reach_")]:
        del sys.modules[name]


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


LATE = """
import sys
from longshore.core.message import Failure
from longshore.routines import collect
from longshore.routines.reach import modules_of
from longshore.serialization.failures import decode_failure
from longshore.serialization.values import decode

catalog = collect(["reach_app.flows"])
(flow,) = catalog
known = modules_of(flow.function)
if "early" in sys.argv:
    import reach_app.errors, reach_app.models, reach_others
assert ("reach_app.models" in sys.modules) == ("early" in sys.argv)
error = decode_failure(Failure("reach_app.errors.Late", "m"), modules=known, strict=True)
print(type(error).__name__, repr(decode(sys.stdin.buffer.read())), *sorted(known))
"""


def test_what_is_imported_inside_of_functions_is_known_in_any_process_and_imported_when_it_is_needed(
    flows: ModuleType,
) -> None:
    models = importlib.import_module("reach_app.models")
    sent = encode(models.Thing(1)).inline()
    folder = os.path.dirname(str(flows.__file__))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([folder, *sys.path])}
    said = [
        subprocess.run(
            [sys.executable, "-c", LATE, *words],
            input=sent,
            capture_output=True,
            check=False,
            env=environment,
            timeout=60,
        )
        for words in ([], ["early"])
    ]
    assert not said[0].stderr and not said[1].stderr
    assert said[0].stdout == said[1].stdout
    assert said[0].stdout.startswith(b"Late Thing(x=1) dataclasses longshore")
    assert b"reach_app.errors" in said[0].stdout and b"reach_others" not in said[0].stdout
