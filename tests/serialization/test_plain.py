"""Replies as JSON for programs that are not Python."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from longshore.core.ids import RunId
from longshore.core.message import Accepted, Answer, ClaimCheck, Failure, Rejected, Reply, RunChanged
from longshore.serialization.plain import pack_plain, plain
from longshore.serialization.values import encode

RUN = RunId("r")


class Color(Enum):
    RED = 1


@dataclass
class Point:
    x: int
    color: Color


class Model(BaseModel):
    at: datetime


class Pair(NamedTuple):
    a: int
    b: str


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (5, 5),
        (1.5, 1.5),
        ("é", "é"),
        ([1, ["x"]], [1, ["x"]]),
        ({"a": {"b": 1}}, {"a": {"b": 1}}),
        (2**70, {"$type": "int", "value": "0x400000000000000000"}),
        (float("nan"), {"$type": "float", "value": "nan"}),
        (b"\xff", {"$type": "bytes", "value": "/w=="}),
        ((1, 2), {"$type": "tuple", "value": [1, 2]}),
        ({1}, {"$type": "set", "value": [1]}),
        ({1: 2}, {"$type": "dict", "value": [[1, 2]]}),
        ({"$type": 2}, {"$type": "dict", "value": [["$type", 2]]}),
        (datetime(2026, 1, 1, tzinfo=UTC), {"$type": "datetime", "value": "2026-01-01T00:00:00+00:00"}),
        (timedelta(minutes=1), {"$type": "timedelta", "value": 60.0}),
        (Decimal("1.10"), {"$type": "decimal", "value": "1.10"}),
        (Path("/a"), {"$type": "path", "value": "/a"}),
        (1j, {"$type": "complex", "value": [0.0, 1.0]}),
        (Color.RED, {"$type": f"{__name__}:Color", "value": "RED"}),
        (
            Point(1, Color.RED),
            {"$type": f"{__name__}:Point", "value": {"x": 1, "color": {"$type": f"{__name__}:Color", "value": "RED"}}},
        ),
        (
            Model(at=datetime(2026, 1, 1, tzinfo=UTC)),
            {
                "$type": f"{__name__}:Model",
                "value": {"at": {"$type": "datetime", "value": "2026-01-01T00:00:00+00:00"}},
            },
        ),
        (Pair(1, "b"), {"$type": f"{__name__}:Pair", "value": [1, "b"]}),
        ([(1, "y" * 70_000)], [{"$type": "tuple", "value": [1, "y" * 70_000]}]),
    ],
)
def test_what_json_lacks_is_typed(value: Any, expected: Any) -> None:
    found = plain(encode(value).inline())
    assert found == expected
    assert json.loads(json.dumps(found)) == expected


def test_each_reply_is_an_object_of_its_own() -> None:
    check = ClaimCheck(key="runs/r/1", size=70_000, sha256="ab")
    replies: list[Reply] = [
        Accepted(run_id=RUN, status="QUEUED"),
        Rejected(run_id=RUN, rule="max_size", text="full"),
        RunChanged(run_id=RUN, status="COMPLETED", result=encode([1]).inline()),
        RunChanged(run_id=RUN, status="COMPLETED", result=check),
        RunChanged(run_id=RUN, status="FAILED", error=Failure(type="builtins.ValueError", message="m", traceback="t")),
        RunChanged(run_id=RUN, status="COMPLETED", result=b"\xff"),
        Answer(ask_id="a", data=[1]),
    ]
    found = [json.loads(body) for body in pack_plain(replies)]
    assert found[:5] == [
        {"run_id": "r", "status": "QUEUED"},
        {"run_id": "r", "status": "REJECTED", "error": {"type": "Rejected", "rule": "max_size", "message": "full"}},
        {"run_id": "r", "status": "COMPLETED", "result": [1]},
        {"run_id": "r", "status": "COMPLETED", "result": {"$ref": {"key": "runs/r/1", "size": 70_000, "sha256": "ab"}}},
        {"run_id": "r", "status": "FAILED", "error": {"type": "builtins.ValueError", "message": "m", "traceback": "t"}},
    ]
    assert found[5]["result"]["$type"] == "unreadable"
    assert found[6] == {"ask_id": "a", "data": [1]}
