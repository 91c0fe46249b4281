"""Which batch must wait for the one under way, because it is to be decided from what that one is just writing. Pure."""

from __future__ import annotations

from longshore.core.changes import Changes, Needs


def depends(needs: Needs, changes: Changes) -> bool:
    """Whether a batch needs facts that the one under way is just writing: what has left the ledger's memory in it, what
    it put into an index, what hangs together with those."""
    if changes.suspended or changes.cursors or changes.cursors_done or changes.workers or needs.forks:
        return True
    if needs.originals and not needs.originals.isdisjoint(changes.ended):
        return True
    if needs.runs and not (needs.runs.isdisjoint(changes.ended) and needs.runs.isdisjoint(changes.updated)):
        return True
    if (needs.kept or needs.cursors) and (changes.forks or changes.beginnings.joints):
        return True
    if needs.unheard and (changes.unheard or changes.unheard_done):
        return True
    if needs.answered and any(one.key in needs.answered for one in changes.answered):
        return True
    if not (needs.batches.isdisjoint(changes.batches) and needs.bulks.isdisjoint(changes.bulks)):
        return True
    if (
        needs.idempotency_keys
        or needs.debounce_keys
        or needs.addresses
        or needs.calls
        or needs.tokens
        or needs.signals
        or needs.told_signals
        or needs.waits
        or needs.annotation_ids
        or needs.schedules.any
    ):
        return True
    if needs.annotations and not needs.annotations.isdisjoint(
        [*changes.annotated, *(n.run.id for n in changes.inserted)]
    ):
        return True
    return bool(needs.cache_keys) and any(key in needs.cache_keys for key, _, _ in changes.cache)
