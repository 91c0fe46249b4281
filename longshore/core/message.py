"""Every message on the bus: `orders` of clients, `replies` to them, `directives` to workers, `reports` of theirs, each
with its tagged union; `parts` are what they are made of. What travels is an array of one union's members.

The same structs are MessagePack between Longshore's own parts and JSON for foreign programs (same field names, the
tag is the field `type`). Sessions, numbers and terms travel in the message's headers (`core/envelope.py`), not in
here. `*_ms` are milliseconds; `*_at` are aware UTC datetimes; a value is inline bytes (self-describing, see
`serialization/`) or a claim check.
"""

from __future__ import annotations

from typing import Final

from longshore.core.directives import Abandon as Abandon
from longshore.core.directives import CancelRun as CancelRun
from longshore.core.directives import Deliver as Deliver
from longshore.core.directives import Directive as Directive
from longshore.core.directives import Drain as Drain
from longshore.core.directives import JournalPage as JournalPage
from longshore.core.directives import Ping as Ping
from longshore.core.directives import RunHooks as RunHooks
from longshore.core.directives import Start as Start
from longshore.core.directives import Warn as Warn
from longshore.core.directives import Welcome as Welcome
from longshore.core.orders import AbortBatch as AbortBatch
from longshore.core.orders import AbortBulk as AbortBulk
from longshore.core.orders import Annotate as Annotate
from longshore.core.orders import Ask as Ask
from longshore.core.orders import BatchOrder as BatchOrder
from longshore.core.orders import Bulk as Bulk
from longshore.core.orders import Cancel as Cancel
from longshore.core.orders import Command as Command
from longshore.core.orders import CompleteToken as CompleteToken
from longshore.core.orders import CreateSchedule as CreateSchedule
from longshore.core.orders import DeleteSchedule as DeleteSchedule
from longshore.core.orders import DrainWorker as DrainWorker
from longshore.core.orders import Fork as Fork
from longshore.core.orders import KeyOrder as KeyOrder
from longshore.core.orders import LimitQueue as LimitQueue
from longshore.core.orders import OpenBatch as OpenBatch
from longshore.core.orders import Order as Order
from longshore.core.orders import Pause as Pause
from longshore.core.orders import PauseQueue as PauseQueue
from longshore.core.orders import PauseSchedule as PauseSchedule
from longshore.core.orders import QueueOrder as QueueOrder
from longshore.core.orders import Request as Request
from longshore.core.orders import Rerun as Rerun
from longshore.core.orders import Reschedule as Reschedule
from longshore.core.orders import ResetKey as ResetKey
from longshore.core.orders import Resume as Resume
from longshore.core.orders import ResumeQueue as ResumeQueue
from longshore.core.orders import ResumeSchedule as ResumeSchedule
from longshore.core.orders import RunMade as RunMade
from longshore.core.orders import RunOrder as RunOrder
from longshore.core.orders import ScheduleOrder as ScheduleOrder
from longshore.core.orders import SealBatch as SealBatch
from longshore.core.orders import Signal as Signal
from longshore.core.orders import ToldOrder as ToldOrder
from longshore.core.orders import Trigger as Trigger
from longshore.core.parts import PROTOCOL as PROTOCOL
from longshore.core.parts import Call as Call
from longshore.core.parts import CallRow as CallRow
from longshore.core.parts import ClaimCheck as ClaimCheck
from longshore.core.parts import Debounce as Debounce
from longshore.core.parts import Delivery as Delivery
from longshore.core.parts import Differs as Differs
from longshore.core.parts import Edit as Edit
from longshore.core.parts import Edits as Edits
from longshore.core.parts import Failure as Failure
from longshore.core.parts import Held as Held
from longshore.core.parts import Message as Message
from longshore.core.parts import Offer as Offer
from longshore.core.parts import Options as Options
from longshore.core.parts import Recorded as Recorded
from longshore.core.parts import Timer as Timer
from longshore.core.parts import Value as Value
from longshore.core.parts import Wait as Wait
from longshore.core.replies import Accepted as Accepted
from longshore.core.replies import Answer as Answer
from longshore.core.replies import Rejected as Rejected
from longshore.core.replies import Reply as Reply
from longshore.core.replies import RunChanged as RunChanged
from longshore.core.reports import Annotated as Annotated
from longshore.core.reports import Beat as Beat
from longshore.core.reports import Bye as Bye
from longshore.core.reports import Checkpoint as Checkpoint
from longshore.core.reports import ChildDied as ChildDied
from longshore.core.reports import Commands as Commands
from longshore.core.reports import Fetch as Fetch
from longshore.core.reports import Finished as Finished
from longshore.core.reports import Hello as Hello
from longshore.core.reports import HooksRun as HooksRun
from longshore.core.reports import Mark as Mark
from longshore.core.reports import Progress as Progress
from longshore.core.reports import Released as Released
from longshore.core.reports import Report as Report
from longshore.core.reports import ReportItem as ReportItem
from longshore.core.reports import Started as Started
from longshore.core.reports import Suspended as Suspended

MAX_BODY: Final = 1 << 20
"""No body is larger than this (bytes)."""
MAX_ITEMS: Final = 1000
"""No body holds more messages than this."""
