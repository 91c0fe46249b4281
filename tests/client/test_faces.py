"""The faces with and without await: the same verbs, with the same parameters."""

from __future__ import annotations

import inspect
from typing import Any, get_overloads

import pytest

from longshore.client import Client, SyncClient
from longshore.client.annotating import RunMetadata
from longshore.client.bulks import BulkHandle
from longshore.client.many import Batch
from longshore.client.run import Run
from longshore.client.schedules import Schedules, SyncSchedules
from longshore.client.sync_annotating import SyncMetadata
from longshore.client.sync_many import SyncBatch, SyncBulk
from longshore.client.sync_run import SyncRun

PAIRS = [
    (Client, SyncClient),
    (Run, SyncRun),
    (Batch, SyncBatch),
    (BulkHandle, SyncBulk),
    (Schedules, SyncSchedules),
    (RunMetadata, SyncMetadata),
]


def verbs(face: type[Any]) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers_static(face) if not name.startswith("_")}


def parameters(verb: Any) -> list[dict[str, tuple[Any, Any]]]:
    """Of each way in which it may be called."""
    ways = (get_overloads(verb) or [verb]) if inspect.isfunction(verb) else []
    return [{name: (one.kind, one.default) for name, one in inspect.signature(way).parameters.items()} for way in ways]


@pytest.mark.parametrize(("face", "sync"), PAIRS, ids=lambda face: face.__name__)
def test_each_verb_is_there_without_await_and_takes_the_same(face: type[Any], sync: type[Any]) -> None:
    ours, theirs = verbs(face), verbs(sync)
    ours.pop("forward", None)  # the relay's own, which has a loop
    assert set(theirs) == set(ours)
    assert {name: parameters(verb) for name, verb in theirs.items()} == {
        name: parameters(verb) for name, verb in ours.items()
    }
