"""The ledger's database: tables, migrations, the writer, the reader, what people ask. The only place that knows SQL."""

from longshore.coordinator.store.faults import Fenced, StoreConflict
from longshore.coordinator.store.queries import Queries
from longshore.coordinator.store.reader import Ending, Input, Page
from longshore.coordinator.store.shown import rfc3339
from longshore.coordinator.store.store import Store
from longshore.coordinator.store.writer import OBJECTS_KEPT, Prepared

__all__ = [
    "OBJECTS_KEPT",
    "Ending",
    "Fenced",
    "Input",
    "Page",
    "Prepared",
    "Queries",
    "Store",
    "StoreConflict",
    "rfc3339",
]
