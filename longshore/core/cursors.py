"""Group orders under way: what is too much for one step is done page by page, over many ticks and restarts.

A cursor says what is to be done and how far it has come. It does nothing itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from longshore.core.ids import RunId
from longshore.core.keeping import Member, Tree

CANCEL_CHILDREN: Final = "cancel_children"
FORGET_JOURNAL: Final = "forget_journal"
FORGET_SIGNALS: Final = "forget_signals"
FORGET_TOKENS: Final = "forget_tokens"
FORGET_EXPIRED: Final = "forget_expired"
FORGET_ROWS: Final = "forget_rows"
FORGET_TREE: Final = "forget_tree"
FORGET_KEYS: Final = "forget_keys"
FORGET_LEFT: Final = "forget_left"
FORGET_BELOW: Final = "forget_below"
PATIENT: Final = frozenset({FORGET_TREE, FORGET_ROWS, FORGET_LEFT, FORGET_BELOW})
"""Orders to let go of what has ended: they wait for what runs."""


class Cursor(msgspec.Struct, gc=False):
    """A group order under way. `cancel_children` of `run_id`, done for children up to `after`; `forget_journal`: the
    rows of the journals before the present one of `run_id`; `forget_signals`: ids of signals told `before`;
    `forget_tokens`: tokens of runs that ended `before` or have begun anew, looked at up to `after`;
    `forget_keys`: idempotency and debounce keys that expired `before`, and joints of callers that have ended;
    `forget_expired`: what was over `before` in the table that `reason` names; `forget_rows`: history and journal of
    `run_id`, which is gone; `forget_tree`: `run_id` and all below it, looked at (`reason`: look) up to row `after`,
    then let go of (go); `forget_left`: what living workflows called in earlier generations, looked at up to the child
    `after` of `run_id`; `forget_below`: such a child with very many below it, as `forget_tree`."""

    id: str
    kind: str
    run_id: RunId
    reason: str
    before: datetime | None = None  # only children created up to then
    after: RunId = RunId("")
    children: list[RunId] = []  # the next page, filled by the store: of children, or of tokens
    last: bool = False  # whether that page is the last
    keys: list[str] = []  # the tokens in it that nobody waits for
    upto: int = 0  # the last generation that is left behind, filled by the store
    members: list[Member] = []  # the next page of a tree, filled by the store
    trees: list[Tree] = []  # the next children that were left behind, filled by the store
    forked: bool = False  # whether a run tells what was told in that tree
    routine: str = ""  # of its root
    rows: int = 0  # how many rows there are to let go of, at most one more than are let go of at once
