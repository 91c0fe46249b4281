"""The house rules that no linter knows: sizes, names, docstrings, who imports what, requirements without addresses."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "longshore"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FORBIDDEN_WORDS = re.compile(r"(Manager|Handler|Helper|Util|Utils|Common|Base|Abstract)(?![a-z])")
FORBIDDEN_MODULES = {"common", "helpers", "helper", "utils", "util", "misc", "base", "manager", "managers", "handlers"}
LIMITS = {"core/ledger/": 600}
"""Who may be longer than 400 lines: a family of ledger rules."""

PLACES = {  # who may import what, by file name; the packages are import-linter's matter
    "aio_pika": "broker/rabbitmq*",
    "aiormq": "broker/rabbitmq*",
    "pamqp": "broker/rabbitmq*",
    "boto3": "payloads/s3*",
    "botocore": "payloads/s3*",
    "s3transfer": "payloads/s3*",
    "sqlalchemy": "coordinator/store/** outbox/**",  # the ledger's own database, and the user's
    "alembic": "coordinator/store/**",
    "cronsim": "coordinator/calendar*",
    "sqlite3": "coordinator/store/**",
    "opentelemetry": "telemetry/*",
    "msgpack": "serialization/*",
}
PURE_STANDARD_LIBRARY = {
    "__future__", "base64", "bisect", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal",
    "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "math", "operator", "re", "string",
    "struct", "types", "typing", "zlib",
}  # fmt: skip


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.lineno


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring: that is told to people, not done."""
    first = function.body[0]
    documented = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    body = function.body[1:] if documented else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


NESTING = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.Match)  # not `with`: it decides nothing


def depth(node: ast.AST) -> int:
    """How deep blocks lie in one another; `elif` is not deeper than its `if`, and an inner function begins anew."""
    deepest = 0
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            chained = isinstance(node, ast.If) and field == "orelse" and isinstance(child, ast.If) and len(value) == 1
            deepest = max(deepest, depth(child) + (isinstance(child, NESTING) and not chained))
    return deepest


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_is_short_and_says_what_it_is_for(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    inside = path.relative_to(PACKAGE).as_posix()
    limit = next((limit for start, limit in LIMITS.items() if inside.startswith(start)), 400)
    assert lines < limit, f"{name(path)} has {lines} lines: it has two subjects, find them"
    if lines:
        assert ast.get_docstring(tree(path)), f"{name(path)} has no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_functions_are_short_and_flat(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            place = f"{name(path)}:{node.lineno} {node.name}"
            assert body_lines(node) < 50, f"{place} has {body_lines(node)} lines"
            assert depth(node) <= 3, f"{place} is nested {depth(node)} deep"


def test_no_class_or_module_has_a_name_that_says_nothing() -> None:
    bad = [f"{name(path)}: module" for path in SOURCES if path.stem in FORBIDDEN_MODULES]
    for path in SOURCES:
        classes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
        bad += [f"{name(path)}:{one.lineno} {one.name}" for one in classes if FORBIDDEN_WORDS.search(one.name)]
    assert bad == []


@pytest.mark.parametrize("package", ["core", "core/ledger"])
def test_the_map_of_a_large_package_names_each_of_its_rooms_once(package: str) -> None:
    folder = PACKAGE / package
    rooms = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    table = (ast.get_docstring(tree(folder / "__init__.py")) or "").partition("\n\n")[2]
    assert sorted(re.findall(r"`([a-z_]+)`", table)) == sorted(rooms - {"__init__"})


def test_every_package_has_an_init_so_that_the_floors_are_checked_in_it() -> None:
    folders = {path.parent for path in SOURCES}
    assert [name(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_each_adapter_has_one_place() -> None:
    bad = []
    for path in SOURCES:
        for module, line in imports(path):
            place = PLACES.get(module.partition(".")[0])
            if place is not None and not any(_lies_in(path, one) for one in place.split()):
                bad.append(f"{name(path)}:{line} imports {module}, which belongs to {place}")
    assert bad == []


def _lies_in(path: Path, place: str) -> bool:
    inside = path.relative_to(PACKAGE).as_posix()
    folder, _, pattern = place.rpartition("/")
    if pattern == "**":
        return inside.startswith(folder + "/")
    return inside.startswith(f"{folder}/{pattern.rstrip('*')}")


def test_the_core_imports_only_itself_msgspec_and_pure_parts_of_the_standard_library() -> None:
    allowed = PURE_STANDARD_LIBRARY | {"msgspec"}
    bad = []
    for path in sorted((PACKAGE / "core").rglob("*.py")):
        for module, line in imports(path):
            if module.partition(".")[0] not in allowed and not (module + ".").startswith("longshore.core."):
                bad.append(f"{name(path)}:{line} imports {module}")
    assert bad == []


def test_core_tests_have_no_async_no_fixtures_and_no_patching() -> None:
    bad = []
    for path in sorted((ROOT / "tests" / "core").rglob("*.py")):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.AsyncFunctionDef):
                bad.append(f"{name(path)}:{node.lineno} is async")
            if (
                isinstance(node, ast.Name | ast.arg)
                and (getattr(node, "id", "") or getattr(node, "arg", "")) == "monkeypatch"
            ):
                bad.append(f"{name(path)}:{node.lineno} patches")
    assert bad == []


def test_no_test_patches_our_own_code() -> None:
    bad = []
    for path in TESTS:
        nodes = list(ast.walk(tree(path)))
        ours = {alias.asname or alias.name.partition(".")[0] for node in nodes for alias in _taken_from_longshore(node)}
        patches = [
            node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "monkeypatch.setattr"
        ]
        bad += [f"{name(path)}:{node.lineno}" for node in patches if _root(node.args[0]) in ours | {"longshore"}]
        bad += [f"{name(path)}:{line} {module}" for module, line in imports(path) if module.startswith("unittest.mock")]
    assert bad == []


def _taken_from_longshore(node: ast.AST) -> list[ast.alias]:
    if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "longshore":
        return node.names
    return [alias for alias in node.names if alias.name.startswith("longshore")] if isinstance(node, ast.Import) else []


def _root(target: ast.expr) -> str:
    """The first name of `a.b.c`, written as code or as a text."""
    text = target.value if isinstance(target, ast.Constant) and isinstance(target.value, str) else ast.unparse(target)
    return text.partition(".")[0]


def test_test_names_are_sentences() -> None:
    bad = [
        f"{name(path)}:{node.lineno} {node.name}"
        for path in TESTS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and node.name.count("_") < 2
    ]
    assert bad == []


def test_requirements_are_pinned_and_name_no_address() -> None:
    pinned = re.compile(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[0-9][A-Za-z0-9.]*(; [a-z_]+ [!=<>]+ '[a-z0-9.]+')?")
    files = sorted((ROOT / "requirements").glob("*.txt"))
    assert [file.name for file in files] == ["build.txt", "dev.txt", "run.txt"]
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            known = line.startswith("#") or line in ("-r run.txt", "-r build.txt") or pinned.fullmatch(line)
            assert known, f"{file.name}: {line!r} is neither a pin nor one of our own files"


def test_no_address_of_a_package_index_is_written_down_anywhere() -> None:
    word = re.compile(r"index-url|find-links|pypi\.org|https?://[^\s\"']*/simple")
    files = [
        ROOT / "pyproject.toml",
        ROOT / "Makefile",
        *(ROOT / "requirements").iterdir(),
        *(ROOT / "scripts").iterdir(),
    ]
    files += [ROOT / ".ci" / "run", *(ROOT / "deploy").iterdir()]
    assert [name(file) for file in files if file.is_file() and word.search(file.read_text(encoding="utf-8"))] == []


def test_nothing_is_printed_read_or_connected_by_importing_the_package() -> None:
    heavy = {"asyncio", "pydantic", "sqlalchemy", "boto3", "aio_pika"}
    text = f"import longshore, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
