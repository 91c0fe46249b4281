"""The ledger, split by family of rules: functions over one state, no mixins. The rooms stand side by side, because the
families need one another (a workflow's call begins a run, a run's end goes to a workflow); imports go one way all the
same.

face        `ledger` takes every message to its rules; `needing` says what must be read before, `restoring` loads what
            is kept, `ticking` does what time alone brings about
memory      `state` is all of it, with `lanes` (queued runs) and `shelves` (ended ones); `config` has the numbers;
            `recording` is the only place where a status changes
beginning   `starting`; which run it is: `keys`, `debouncing`, `joining` (and its `circles`), `caching`, `versioning`;
            who else begins some: `batching`, `scheduling`, `rerunning`, `forking`
placing     `placing` gives runs to workers, `limiting` says which must wait, `queueing` who says so
workers     `sessions`, `reporting` (what they say of runs), `draining`, `hooking`
ends        `failing` (attempts, crashes), `evidence` of them, `checkpointing`, `ending` (what follows)
workflows   `commanding` (what their code asks for), `delivering` (what it is told), `signaling`, `continuing`
orders      `ordering` is what they share; `canceling`, `pausing`, `rescheduling`, `annotating`; `bulking` for many;
            `repeating`: one that comes again
answers     `explaining` why a run waits, `counting` queues, `progressing`; `coming`: when time brings the next thing
keeping     `keeping` what has ended, `forgetting` what is left behind
"""

from longshore.core.ledger.config import LedgerConfig
from longshore.core.ledger.ledger import Ledger

__all__ = ["Ledger", "LedgerConfig"]
