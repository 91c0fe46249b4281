"""What a worker says of its workflows' code when it starts: which lines would not do the same in a replay.

Words only: whatever it finds, the worker works.
"""

from __future__ import annotations

from longshore.engine.lint import lint
from longshore.routines.catalog import Catalog
from longshore.worker.config import WorkerConfig
from longshore.worker.desk import log


def give(catalog: Catalog, config: WorkerConfig) -> None:
    """Warn of each line once, unless another process of the crew does. Never raises."""
    if not config.advises:
        return
    try:
        findings = lint(catalog)
    except Exception:  # noqa: BLE001 - whatever the code looks like, advice must not keep a worker from its work
        log.debug("the workflows' code could not be looked at", exc_info=True)
        return
    for finding in findings:
        log.warning("%s", finding)
