"""Which traces are exported: OTEL_TRACES_SAMPLER and its argument, as a pure decision over the trace id.

The decision falls where a trace begins and travels as the sampled flag. Same numbers as OpenTelemetry's own samplers.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

_MASK: Final = (1 << 64) - 1
_ALL: Final = 1 << 64

_PARENT: Final = "parentbased_"
DEFAULT: Final = "parentbased_always_on"


class Sampling(NamedTuple):
    """`bound`: traces whose lower 64 bits are below it are sampled. `own`: decide so for each span, not by its flag."""

    bound: int = _ALL
    own: bool = False

    def samples_root(self, trace_id: int) -> bool:
        """Whether a trace that begins here is exported."""
        return (trace_id & _MASK) < self.bound

    def samples(self, trace_id: int, flag: bool) -> bool:
        """Whether a span of a trace with this sampled flag is exported."""
        return (trace_id & _MASK) < self.bound if self.own else flag

    @property
    def nothing(self) -> bool:
        """Whether nothing can ever be exported."""
        return self.own and self.bound == 0


def sampling(name: str, argument: str) -> tuple[Sampling, str]:
    """The rule that the two variables name, and a complaint when they name none ("" when all is well)."""
    wanted = (name or DEFAULT).strip().lower()
    own = not wanted.startswith(_PARENT)
    match wanted.removeprefix(_PARENT):
        case "always_on":
            return Sampling(own=own), ""
        case "always_off":
            return Sampling(0, own), ""
        case "traceidratio":
            ratio = _ratio(argument)
            if ratio is None:
                return Sampling(own=own), f"OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1: {argument!r}; using 1"
            return Sampling(round(ratio * _ALL), own), ""
    return Sampling(), f"OTEL_TRACES_SAMPLER is unknown: {name!r}; using {DEFAULT}"


def _ratio(text: str) -> float | None:
    try:
        ratio = float(text)
    except ValueError:
        return None
    return ratio if math.isfinite(ratio) and 0 <= ratio <= 1 else None
