"""Plug-ins of the whole suite: each fixture of tests/support is known everywhere."""

import logging

pytest_plugins = [
    "tests.support.marks",
    "tests.support.order",
    "tests.support.otlp",
    "tests.support.rabbit",
]


def pytest_unconfigure() -> None:
    """An exporter whose receiver has gone with its test says nothing more: pytest's summary is the last line."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
