"""NumPy arrays and scalars, where numpy is installed. It never copies the memory of a large contiguous array.

numpy is not a dependency: whoever has an array has imported it, and reading one imports it.
"""

from __future__ import annotations

import ast
import math
import sys
from typing import Any, Final

from longshore.core.errors import DecodeError, EncodingError
from longshore.serialization.parts import Parts, TakeApart
from longshore.serialization.wire import LARGE

ARRAY: Final = "A"


def plan(cls: type) -> TakeApart | None:
    """How to take an array or a numpy scalar apart; None for other classes."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not hasattr(numpy, "ndarray"):
        return None
    if cls is numpy.ndarray:
        return _array_parts
    if issubclass(cls, numpy.generic):
        return lambda value: _parts(numpy.asarray(value), "scalar")
    return None


def row_major(value: Any) -> Any:
    """An array with its memory row by row (a copy where it lies otherwise); any other value unchanged."""
    numpy = sys.modules.get("numpy")
    return numpy.asarray(value, order="C") if numpy is not None and type(value) is numpy.ndarray else value


def _array_parts(value: Any) -> Parts:
    return _parts(value, "array")


def _parts(value: Any, kind: str) -> Parts:
    if value.dtype.hasobject:
        raise EncodingError("a numpy array of Python objects cannot travel: pass a list, or give it a plain dtype")
    from numpy.lib import format as layout

    column_major = value.flags.f_contiguous and not value.flags.c_contiguous
    head = [
        kind,
        repr(layout.dtype_to_descr(value.dtype)),
        ",".join(map(str, value.shape)),
        "F" if column_major else "C",
    ]
    if value.nbytes < LARGE:
        return Parts(ARRAY, head, [value.tobytes(order=head[3])])
    from numpy import ascontiguousarray

    flat = ascontiguousarray(value.reshape(-1, order=head[3]))  # a view where the array is contiguous, else one copy
    return Parts(ARRAY, head, [flat.view("u1").data])


def build(head: Any, items: list[Any]) -> Any:
    """The array (writable) or scalar with these parts. Raises DecodeError."""
    try:
        import numpy
        from numpy.lib import format as layout
    except ImportError as error:
        raise DecodeError("the value holds a numpy array: install numpy here") from error
    kind, description, dimensions, order = head
    [data] = items
    dtype = layout.descr_to_dtype(ast.literal_eval(description))
    shape = tuple(int(size) for size in dimensions.split(",") if size)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) or any(size < 0 for size in shape):
        raise DecodeError(f"a numpy array of {len(data)} bytes cannot be {description} of shape {shape}")
    flat = (
        numpy.frombuffer(bytearray(data) if isinstance(data, bytes) else data, dtype) if data else numpy.empty(0, dtype)
    )
    array = flat.reshape(shape, order=order)
    return array[()] if kind == "scalar" else array
