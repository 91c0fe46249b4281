"""Routines: how they are declared, what a call is before anybody executes it, and what a running one may see.

Declaring does nothing else: no registry, no connection, no environment. What `await routine(...)` means is decided by
the engine in force (`calls.CURRENT_ENGINE`), which lives a floor above.
"""

from longshore.routines.catalog import Catalog, collect
from longshore.routines.routine import CURRENT_ENGINE, Call, Engine, Routine

__all__ = ["CURRENT_ENGINE", "Call", "Catalog", "Engine", "Routine", "collect"]
