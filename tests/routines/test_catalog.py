"""Collecting routines from modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from longshore import DefinitionError, define
from longshore.routines import Catalog, collect


def body() -> int:
    return 1


old = define.task(name="report", version="1.9.0")(body)
new = define.task(name="report", version="1.10.0")(body)
mail = define.action(name="mail.send", version="2.0.0-dev")(body)


def module(name: str, **names: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(names)
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, as a program started in it sees it."""
    monkeypatch.chdir(tmp_path)
    known, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if name.startswith("flows"):
            del sys.modules[name]


def test_routines_are_found_by_name_and_version_and_the_newest_without() -> None:
    catalog = collect([module("one", old=old, new=new), module("two", mail=mail, other=3)])
    assert catalog.find("report", "1.9.0") is old
    assert catalog.find("report") is new
    assert catalog.find("report", "3.0.0") is None
    assert catalog.find("repotr") is None
    assert catalog.near("repotr") == ["report"]
    assert [offer.routine for offer in catalog.offers()] == ["report", "report", "mail.send"]
    assert (len(catalog), catalog.modules) == (3, ("one", "two"))


def test_the_same_routine_imported_into_two_modules_is_one() -> None:
    assert len(collect([module("one", old=old), module("two", old=old, alias=old)])) == 1


def test_two_routines_of_one_name_and_version_are_refused_with_both_places() -> None:
    twin = define.task(name="report", version="1.9.0")(lambda: 2)
    with pytest.raises(
        DefinitionError, match=r"declared twice: at .*test_catalog\.py:\d+ and at .*test_catalog\.py:\d+"
    ):
        Catalog([old, twin])


def test_a_module_of_the_current_folder_is_found_like_with_python_m(folder: Path) -> None:
    (folder / "flows_here.py").write_text(
        "from longshore import define\n@define.task(name='here')\ndef here() -> int:\n    return 1\n"
    )
    assert collect(["flows_here"]).find("here") is not None
    assert collect("flows_here").modules == ("flows_here",)


def test_what_cannot_be_imported_is_named_with_what_to_do(folder: Path) -> None:
    (folder / "flows_needy.py").write_text("import surely_not_there\n")
    (folder / "flows_broken.py").write_text("1 / 0\n")
    (folder / "flows_typo.py").write_text("def f(:\n")
    for name, advice in [
        ("flows_absent", r"no module 'flows_absent'.*python -m"),
        ("flows_absent.inner", r"no module 'flows_absent\.inner'"),
        ("flows_needy", "needs 'surely_not_there'"),
        ("flows_broken", r"ZeroDivisionError: division by zero; try `python -c 'import flows_broken'`"),
        ("flows_typo", "SyntaxError"),
        ("./flows_here.py", r"is a file.*: flows_here$"),
    ]:
        with pytest.raises(DefinitionError, match=advice):
            collect([name])


@pytest.mark.parametrize(
    ("file", "said"),
    [("flows.py", ": flows$"), ("./a/flows.py", r": a\.flows$"), ("/srv/flows.py", ": flows, in the folder /srv$")],
)
def test_a_file_instead_of_a_module_is_answered_with_the_module(file: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        collect(file)
