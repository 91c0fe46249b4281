"""What a workflow is begun with. It reads the payload store, and runs nothing."""

from __future__ import annotations

from longshore.core.errors import Nondeterminism, PayloadUnavailable
from longshore.serialization.arguments import Arguments
from longshore.worker.attempt import Attempt
from longshore.worker.bench import Bench


def begun_with(bench: Bench, attempt: Attempt) -> Arguments | Nondeterminism:
    """The run's input. What a run has begun with and its code does not take any more is no failure of the run's:
    the code was changed."""
    try:
        return bench.arguments(attempt.start, attempt.routine)
    except PayloadUnavailable:
        raise
    except Exception as error:
        if attempt.start.processed_seq < 0:
            raise
        return Nondeterminism(
            f"the input this run began with does not fit the code at {attempt.routine.place} any more: {error}\n"
            "The routine's parameters, or a class of its input, were changed while this run was under way. Nothing "
            "was executed. Put the old code back under this version, or run it anew."
        )
