"""For tests of your own routines: a workflow rehearsed in memory, crashed and replayed at every fact it is told.

    from longshore.testing import crash_everywhere
    assert crash_everywhere(sweep(data)) == best

Called routines run here and now, time is virtual, nothing needs a broker, a coordinator or a worker. It never touches a
ledger. Rehearsals go by the rules of a fleet:

- Honoured, of calls and of routines: `delay`, `ttl`, `deadline`, `max_attempts`, retries and their delays (which the
  clock jumps over), `retry_on`, `AbortRun`, `RetryAfter`, `timeout` (of `async def` by the real clock, of `def` when it
  has returned), `heartbeat_timeout` of `async def`, idempotency keys and their scopes, `metadata`, `tags`,
  `on_parent_end`, checkpoints, hooks and middleware of a routine.
- Refused with a UsageError: `debounce`, and a `version` other than the one imported.
- Without effect, for there is one worker, of every pool, with room for everything: `queue`, `pool`, `priority`,
  `concurrency_key`, `version_deadline`; `isolation` (all runs in this process) and `on_crash`; `cache` (each call is
  executed); the `timeout` of a workflow, which is active time; hooks that a module has for all its routines.
"""

from __future__ import annotations

from longshore.testing.fleet import fleet
from longshore.testing.rehearsing import crash_everywhere, profile, replay_always

__all__ = ["crash_everywhere", "fleet", "profile", "replay_always"]
