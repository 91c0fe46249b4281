"""What `from longshore import ...` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import longshore
from longshore.core import errors


def test_every_error_of_the_tree_is_public() -> None:
    tree = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.LongshoreError)
    }
    assert set(longshore._ERRORS) == tree
    assert all(getattr(longshore, name) is getattr(errors, name) for name in tree)


def test_define_context_and_codec_are_there_and_unknown_names_are_not() -> None:
    assert callable(longshore.define.task)
    assert callable(longshore.codec.register)
    assert repr(longshore.context)
    assert set(longshore.__all__) <= set(dir(longshore))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = longshore.nonsense


def test_importing_the_package_imports_nothing_else() -> None:
    script = (
        "import sys, longshore; print([name for name in sys.modules if 'longshore.' in name or name == 'pydantic'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
