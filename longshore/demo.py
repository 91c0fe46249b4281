"""The demo's routines: a report on the source of Python's own standard library. They only read files.

`longshore demo` runs them on the embedded default; `longshore worker longshore.demo` offers them on any fleet.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import os
import platform
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

from longshore import context, define

SKIPPED = frozenset({"test", "tests", "site-packages", "dist-packages", "lib-dynload", "__pycache__", "idle_test"})


@define.action(name="stdlib.packages", version="1.0.0")
def find_packages() -> list[dict[str, str]]:
    """Each package folder of the standard library: its path, and a digest of its files' names, sizes and times.

    An action, because the answer is a matter of the machine: it is asked anew in every run. The digest goes into the
    arguments of the next stage, so that the cache answers exactly as long as nothing has changed.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    found = []
    for name, folders, _ in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED)
        folder = Path(name)
        files = sorted(folder.glob("*.py"))
        if not files:
            continue
        facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
        package = ".".join(folder.relative_to(root).parts) or "(top level)"
        found.append({"package": package, "folder": str(folder), "digest": digest})
    return found


@define.task(name="stdlib.parse", version="1.0.0", isolation="process", timeout="2m")
def parse_package(package: str, folder: str, digest: str, python: str) -> dict[str, Any]:
    """Every function, class and import of one folder's files. In a process of its own: parsing keeps Python busy.

    Gives {package, files, lines, bytes, classes, imports: {module: count}, functions: [{name, file, line, lines}]}. The
    result of a large folder is over 64 KiB and travels as a claim check.
    """
    files = sorted(Path(folder).glob("*.py"))
    imports: Counter[str] = Counter()
    functions: list[dict[str, Any]] = []
    lines = octets = classes = 0
    for done, file in enumerate(files, start=1):
        source = file.read_bytes()
        lines += source.count(b"\n")
        octets += len(source)
        for node in ast.walk(ast.parse(source, file.name)):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    length = (node.end_lineno or node.lineno) - node.lineno + 1
                    functions.append({"name": node.name, "file": file.name, "line": node.lineno, "lines": length})
                case ast.ClassDef():
                    classes += 1
                case ast.Import():
                    imports.update(name.name.partition(".")[0] for name in node.names)
                case ast.ImportFrom(module=str(module), level=0):
                    imports[module.partition(".")[0]] += 1
        if done % 20 == 0:
            context.progress(done / len(files), file.name)
    return {
        "package": package,
        "files": len(files),
        "lines": lines,
        "bytes": octets,
        "classes": classes,
        "imports": dict(imports),
        "functions": functions,
    }


@define.task(name="stdlib.join", version="1.0.0")
def join_packages(parts: list[dict[str, Any]], top: int) -> dict[str, Any]:
    """The second stage: all folders in one report. Gives {totals, packages, longest_functions, most_imported}."""
    imports: Counter[str] = Counter()
    functions = []
    for part in parts:
        imports.update(part["imports"])
        functions += [{"package": part["package"], **function} for function in part["functions"]]
    functions.sort(key=lambda function: (-function["lines"], function["package"], function["name"]))
    largest = sorted(parts, key=lambda part: -part["lines"])[:top]
    counted = ("package", "files", "lines", "bytes", "classes")
    totals = {name: sum(part[name] for part in parts) for name in counted[1:]}
    return {
        "totals": {"packages": len(parts), **totals, "functions": len(functions)},
        "packages": [
            {**{name: part[name] for name in counted}, "functions": len(part["functions"])} for part in largest
        ],
        "longest_functions": functions[:top],
        "most_imported": [{"module": name, "times": times} for name, times in imports.most_common(top)],
    }


@define.workflow(name="stdlib.report", version="1.0.0")
async def report(top: int = 5) -> dict[str, Any]:
    """Fan out over the folders, then join. While it waits it holds no slot; after a crash it goes on where it was."""
    packages = await find_packages()
    python = platform.python_version()
    parts = await asyncio.gather(*(parse_package(**package, python=python) for package in packages))
    return await join_packages(parts, top)
