"""What a running routine may see of its run."""

from __future__ import annotations

import logging

import pytest

from longshore import NoRunError, context
from longshore.core.ids import RunId
from longshore.routines.context import CURRENT_RUN, RunContext, Voice


@pytest.mark.parametrize("name", ["run_id", "attempt", "routine", "canceled", "metadata", "logger"])
def test_outside_a_run_every_name_says_so(name: str) -> None:
    with pytest.raises(NoRunError, match="inside a routine's body"):
        getattr(context, name)


def test_outside_a_run_progress_and_heartbeat_say_so() -> None:
    with pytest.raises(NoRunError):
        context.progress(0.5)
    with pytest.raises(NoRunError):
        context.heartbeat()


class Heard(Voice):
    def __init__(self) -> None:
        self.said: list[tuple[float, str]] = []
        self.signs = 0

    def progress(self, fraction: float, text: str) -> None:
        self.said.append((fraction, text))

    def show_life(self) -> None:
        self.signs += 1


def test_inside_a_run_the_context_is_the_runs(caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()
    run = RunContext(
        RunId("r1"),
        routine="train@1.0.0",
        attempt=2,
        metadata={"a": 1},
        voice=heard,
    )
    token = CURRENT_RUN.set(run)
    try:
        assert (context.run_id, context.attempt, context.routine) == ("r1", 2, "train@1.0.0")
        assert context.metadata == {"a": 1}
        assert not context.canceled
        run.canceled = True
        assert context.canceled
        context.progress(0.25, "epoch 1")
        context.heartbeat()
        with pytest.raises(ValueError, match="from 0 to 1"):
            context.progress(1.5)
        with caplog.at_level(logging.INFO):
            context.logger.info("hello", extra={"own": 3})
            run.silent = True
            context.logger.error("again")
            context.progress(1)
    finally:
        CURRENT_RUN.reset(token)
    assert heard.said == [(0.25, "epoch 1")] and heard.signs == 1
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("longshore.routine.train", "hello")
    assert (record.__dict__["run_id"], record.__dict__["attempt"], record.__dict__["own"]) == ("r1", 2, 3)
