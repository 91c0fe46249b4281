"""How a coordinator stands at a moment, for whoever moves its clock. Facts, no acts."""

from __future__ import annotations

from typing import NamedTuple

from longshore.core.ids import RunId


class Glance(NamedTuple):
    """`moving`: something is being decided, written, sent or tidied up. `at_work`: the runs, with their epochs, that
    workers are at work on."""

    moving: bool
    at_work: frozenset[tuple[RunId, int]]
