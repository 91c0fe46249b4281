"""Types of one's own: registered codecs, and classes that are not there."""

import subprocess
import sys
from pathlib import Path

import pytest

from longshore.core.errors import DecodeError, DefinitionError, EncodingError
from longshore.serialization import codec
from longshore.serialization.values import decode, encode
from tests.serialization.kinds import (
    Foreign,
    Frozen,
    Model,
    Registered,
    every_way,
)


def test_a_registered_type_travels_by_its_name() -> None:
    codec.register(Registered, "tests.registered", lambda value: {"t": value.text}, lambda data: Registered(data["t"]))
    for back in every_way([Registered("a"), {Registered("b"): (Registered("c" * 100_000),)}]):
        assert back == [Registered("a"), {Registered("b"): (Registered("c" * 100_000),)}]
    with pytest.raises(DefinitionError, match=r"belongs to"):
        codec.register(Foreign, "tests.registered", str, Foreign)


class Failing:
    pass


def test_a_registered_coder_that_fails_is_told_with_its_name() -> None:
    codec.register(Failing, "tests.failing", lambda value: 1 / 0, lambda data: Failing())
    with pytest.raises(EncodingError, match=r"registered for 'tests.failing' failed: ZeroDivisionError"):
        encode(Failing())
    codec.register(Failing, "tests.failing", lambda value: 0, lambda data: 1 / data)
    with pytest.raises(DecodeError, match=r"registered for 'tests.failing' failed: ZeroDivisionError"):
        decode(encode(Failing()).inline())


def test_a_class_of_a_module_that_is_not_imported_is_never_imported(tmp_path: Path) -> None:
    (tmp_path / "strange_types.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Thing:\n    x: int\nprint('imported')\n"
    )
    (tmp_path / "writer.py").write_text(
        "import sys\nfrom strange_types import Thing\nfrom longshore.serialization.values import encode\n"
        "sys.stderr.write(encode([Thing(5)]).inline().hex())\n"
    )
    written = python(tmp_path, "writer.py")
    data = bytes.fromhex(written.stderr)
    with pytest.raises(DecodeError, match=r"import strange_types first"):
        decode(data)
    reader = (
        "import sys\nfrom longshore.serialization import codec\nfrom longshore.serialization.values import decode\n"
        f"codec.allow('strange_types')\nassert decode(bytes.fromhex('{data.hex()}'))[0].x == 5\n"
    )
    read = python(tmp_path, "-c", reader)
    assert read.stdout == "imported\n"


def test_a_class_of_a_script_travels_under_its_importable_name(tmp_path: Path) -> None:
    (tmp_path / "my_script.py").write_text(
        "from dataclasses import dataclass\nfrom longshore.serialization.values import encode, decode\n"
        "@dataclass\nclass Thing:\n    x: int\n"
        "if __name__ == '__main__':\n    data = encode(Thing(5)).inline()\n"
        "    assert type(decode(data)) is Thing\n    print(data.hex())\n"
    )
    written = python(tmp_path, "my_script.py")
    reader = (
        "import my_script\nfrom longshore.serialization.values import decode\n"
        f"assert type(decode(bytes.fromhex('{written.stdout.strip()}'))) is my_script.Thing\n"
    )
    python(tmp_path, "-c", reader)


def python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PYTHONPATH": f"{folder}:{Path.cwd()}"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, env=environment, timeout=60)


def test_bytes_that_name_something_else_than_such_a_class_are_refused() -> None:
    good = encode([Frozen("x")]).inline()
    name = f"{Frozen.__module__}:Frozen".encode()
    assert name in good
    for other in (
        b"os:system",
        b"builtins:dict",
        b"subprocess:Popen",
        f"{Frozen.__module__}:Color".encode(),
        f"{Frozen.__module__}:same".encode(),
    ):
        header = bytes([0xD9, len(name)]) if len(name) > 31 else bytes([0xA0 | len(name)])
        swapped = good.replace(header + name, bytes([0xD9, len(other)]) + other)
        assert swapped != good
        with pytest.raises(DecodeError):
            decode(swapped)


def test_a_pydantic_model_is_validated_when_it_is_read() -> None:
    data = encode(Model(count=5)).inline().replace(b"count\x05", b"count\xc0")
    with pytest.raises(DecodeError, match=r"do not fit"):
        decode(data)
