"""Amounts of memory as people write them."""

from __future__ import annotations

import pytest

from longshore.core.errors import UsageError
from longshore.core.sizes import size, spell


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (1000, 1000),
        ("1000", 1000),
        ("512MiB", 512 << 20),
        (" 2 gib ", 2 << 30),
        ("500MB", 500_000_000),
        ("1.5KiB", 1536),
        ("7b", 7),
    ],
)
def test_an_amount_is_read_in_every_unit(text: str | int, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "much", "1 MiBs", "-1", 0, -5, True, 1.5, None, "2048TiB", "1e9", "9" * 30])
def test_everything_else_is_refused_with_what_is_allowed(text: object) -> None:
    with pytest.raises(UsageError, match="512MiB"):
        size(text)  # type: ignore[arg-type]


def test_an_amount_is_written_short() -> None:
    assert [spell(amount) for amount in (5, 2048, 512 << 20, 3 << 29, 5 << 40)] == [
        "5B",
        "2KiB",
        "512MiB",
        "1.5GiB",
        "5TiB",
    ]
