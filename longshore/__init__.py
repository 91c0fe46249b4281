"""Longshore runs Python routines on a fleet of workers. The public names, each imported at its first use (PEP 562).

Importing this package imports nothing else of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from longshore.client import Client as Client
    from longshore.client import Order as Order
    from longshore.client import SyncClient as SyncClient
    from longshore.core.errors import AbortRun as AbortRun
    from longshore.core.errors import ArgumentError as ArgumentError
    from longshore.core.errors import BatchAborted as BatchAborted
    from longshore.core.errors import BrokerUnavailableError as BrokerUnavailableError
    from longshore.core.errors import CircularWait as CircularWait
    from longshore.core.errors import DecodeError as DecodeError
    from longshore.core.errors import DefinitionError as DefinitionError
    from longshore.core.errors import EncodingError as EncodingError
    from longshore.core.errors import ForbiddenInWorkflow as ForbiddenInWorkflow
    from longshore.core.errors import LongshoreError as LongshoreError
    from longshore.core.errors import Nondeterminism as Nondeterminism
    from longshore.core.errors import NoRunError as NoRunError
    from longshore.core.errors import NotYetAccepted as NotYetAccepted
    from longshore.core.errors import PayloadCorrupt as PayloadCorrupt
    from longshore.core.errors import PayloadUnavailable as PayloadUnavailable
    from longshore.core.errors import ProtocolError as ProtocolError
    from longshore.core.errors import Rejected as Rejected
    from longshore.core.errors import RemoteError as RemoteError
    from longshore.core.errors import RetryAfter as RetryAfter
    from longshore.core.errors import RunCanceled as RunCanceled
    from longshore.core.errors import RunCrashed as RunCrashed
    from longshore.core.errors import RunError as RunError
    from longshore.core.errors import RunExpired as RunExpired
    from longshore.core.errors import RunFailed as RunFailed
    from longshore.core.errors import RunSystemFailure as RunSystemFailure
    from longshore.core.errors import RunTimedOut as RunTimedOut
    from longshore.core.errors import SettingsError as SettingsError
    from longshore.core.errors import Stalled as Stalled
    from longshore.core.errors import StoreUnavailableError as StoreUnavailableError
    from longshore.core.errors import TokenExpired as TokenExpired
    from longshore.core.errors import TokenFailed as TokenFailed
    from longshore.core.errors import UnavailableError as UnavailableError
    from longshore.core.errors import UsageError as UsageError
    from longshore.core.schedules import ScheduledTick as ScheduledTick
    from longshore.routines import define as define
    from longshore.routines.context import context as context
    from longshore.routines.hooks import Hooks as Hooks
    from longshore.routines.hooks import Outcome as Outcome
    from longshore.serialization import codec as codec

__version__: Final = "0.1.0"

_ERRORS: Final = (
    "AbortRun",
    "ArgumentError",
    "BatchAborted",
    "BrokerUnavailableError",
    "CircularWait",
    "DecodeError",
    "DefinitionError",
    "EncodingError",
    "ForbiddenInWorkflow",
    "LongshoreError",
    "NoRunError",
    "Nondeterminism",
    "NotYetAccepted",
    "PayloadCorrupt",
    "PayloadUnavailable",
    "ProtocolError",
    "Rejected",
    "RemoteError",
    "RetryAfter",
    "RunCanceled",
    "RunCrashed",
    "RunError",
    "RunExpired",
    "RunFailed",
    "RunSystemFailure",
    "RunTimedOut",
    "SettingsError",
    "Stalled",
    "StoreUnavailableError",
    "TokenExpired",
    "TokenFailed",
    "UnavailableError",
    "UsageError",
)
_HOMES: Final = dict.fromkeys(_ERRORS, "longshore.core.errors") | {
    "Client": "longshore.client",
    "Hooks": "longshore.routines.hooks",
    "Outcome": "longshore.routines.hooks",
    "Order": "longshore.client",
    "ScheduledTick": "longshore.core.schedules",
    "SyncClient": "longshore.client",
    "codec": "longshore.serialization",
    "context": "longshore.routines.context",
    "define": "longshore.routines.define",
}
_MODULES: Final = frozenset({"define"})
"""Names that are modules themselves."""

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - names of a table


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'longshore' has no attribute {name!r}")
    module = importlib.import_module(home)
    value = module if name in _MODULES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
