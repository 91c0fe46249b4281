"""Routines that workflows call in tests, and what a step gave."""

from __future__ import annotations

from typing import Any

from longshore import define
from longshore.engine.steps import Completed, Raised


@define.task(name="f", version="1.0.0")
def f(x: Any = None) -> Any:
    return x


@define.task(name="g", version="1.0.0")
def g(x: Any = None) -> Any:
    return x


def value(step: Any) -> Any:
    assert isinstance(step.outcome, Completed), step.outcome
    return step.outcome.value


def error(step: Any) -> BaseException:
    assert isinstance(step.outcome, Raised), step.outcome
    return step.outcome.exception
