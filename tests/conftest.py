"""Plug-ins of the whole suite: each fixture of tests/support is known everywhere."""

pytest_plugins = [
    "tests.support.marks",
    "tests.support.otlp",
    "tests.support.rabbit",
]
