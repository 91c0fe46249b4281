"""The ledger, split by family of rules: functions over one state, no mixins.

`ledger.py` is the face. `starting` begins runs, `placing` gives them to workers, `reporting` takes what workers say,
`failing` decides about attempts and crashes, `commanding` and `delivering` serve workflows, `canceling`, `caching`,
`ending`, `sessions` and `ticking` do what their names say; `lanes` is where queued runs stand, `limiting` which of them
must wait, `queueing` who says so; `recording` is the only place where a status changes.
"""

from longshore.core.ledger.config import LedgerConfig
from longshore.core.ledger.ledger import Ledger

__all__ = ["Ledger", "LedgerConfig"]
