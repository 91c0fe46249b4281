"""The coordinator: the shell around the ledger. It reads, commits, publishes and settles; it decides nothing."""

from longshore.coordinator.service import Coordinator

__all__ = ["Coordinator"]
