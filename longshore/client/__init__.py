"""The client library: `Client` for asyncio, `SyncClient` with the same verbs without await, and the run's handle.

It knows the bus and the messages, never the ledger's rules: what is accepted, refused or retried is decided elsewhere.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from longshore.client.bulks import BulkHandle
from longshore.client.client import Client
from longshore.client.fields import Fields
from longshore.client.looking import Listed
from longshore.client.many import Batch, Started
from longshore.client.orders import Order
from longshore.client.outside import Completion
from longshore.client.run import Change, Run

if TYPE_CHECKING:
    from longshore.client.sync import SyncClient
    from longshore.client.sync_many import SyncBatch, SyncBulk
    from longshore.client.sync_run import SyncRun

__all__ = [
    "Batch",
    "BulkHandle",
    "Change",
    "Client",
    "Completion",
    "Fields",
    "Listed",
    "Order",
    "Run",
    "Started",
    "SyncBatch",
    "SyncBulk",
    "SyncClient",
    "SyncRun",
]

_LATER: Final = {"SyncClient": "sync", "SyncBatch": "sync_many", "SyncBulk": "sync_many", "SyncRun": "sync_run"}
"""Loaded when they are first named: a command of the command line needs none of them."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
