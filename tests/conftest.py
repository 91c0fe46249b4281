"""Plug-ins of the whole suite: each fixture of tests/support is known everywhere."""

import logging
import signal

pytest_plugins = [
    "tests.support.marks",
    "tests.support.order",
    "tests.support.otlp",
    "tests.support.rabbit",
]


def pytest_configure() -> None:
    """Started in the background of a script, we ignore Ctrl-C, and so would every process that a test starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """An exporter whose receiver has gone with its test says nothing more: pytest's summary is the last line."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
