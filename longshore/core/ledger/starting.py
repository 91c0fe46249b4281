"""Rules of the beginning: a trigger becomes a run, once, whatever the bus does to the message."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from longshore.core.care import Care
from longshore.core.changes import NewRun
from longshore.core.errors import ProtocolError
from longshore.core.ids import ENTROPY_BYTES, Address, RunId, is_run_id, uuid7
from longshore.core.ledger import batching, caching, debouncing, joining, keys, limiting, placing, versioning
from longshore.core.ledger.recording import begin, ended, finish, outcome_of, reply
from longshore.core.ledger.state import Round, State
from longshore.core.message import Accepted, Call, ClaimCheck, Options, Rejected, Trigger, Value
from longshore.core.metadata import distinct
from longshore.core.names import split_routine
from longshore.core.policy import MAX_ATTEMPTS_CAP, care_asked, check_retries
from longshore.core.queues import DEFAULT, NAMESPACE
from longshore.core.records import CacheHit
from longshore.core.run import Run, Status

MAX_DELAY_MS: Final = 30 * 24 * 3600 * 1000
MAX_TAGS: Final = 10
MAX_TAG_LENGTH: Final = 128
MAX_TEXT: Final = 256
MAX_METADATA: Final = 256 * 1024
PLAIN: Final = Options()
ABANDON: Final = "abandon"
INPUT_PREFIXES: Final = ("inputs/", "runs/")
"""Where an input's claim check may point (a relative key; nothing else is followed)."""


def check_options(options: Options) -> tuple[str, str] | None:
    """(rule, what is wrong), or None if every option is in its range."""
    if options == PLAIN:
        return None
    for name, low, high in (
        ("delay_ms", 0, MAX_DELAY_MS),
        ("ttl_ms", 1, MAX_DELAY_MS),
        ("deadline_ms", 1, MAX_DELAY_MS),
        ("timeout_ms", 1, MAX_DELAY_MS),
        ("max_attempts", 1, MAX_ATTEMPTS_CAP),
        ("version_deadline_ms", 1, MAX_DELAY_MS),
    ):
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            return name, f"{name} is {value}; it must be from {low} to {high}"
    if problem := check_retries(options):
        return problem
    if len(options.tags) > MAX_TAGS or any(not 0 < len(tag) <= MAX_TAG_LENGTH for tag in options.tags):
        return "tags", f"at most {MAX_TAGS} tags of 1 to {MAX_TAG_LENGTH} characters"
    for name in ("idempotency_key", "queue", "concurrency_key", "pool"):
        if len(getattr(options, name)) > MAX_TEXT:
            return name, f"{name} has over {MAX_TEXT} characters"
    if options.queue == NAMESPACE:
        return "queue", f"{NAMESPACE!r} stands for the whole namespace; give a queue's name"
    if problem := keys.check(options, MAX_DELAY_MS) or debouncing.check(options, MAX_DELAY_MS):
        return problem
    if options.metadata and not _fits(options.metadata):
        return "metadata", f"metadata must be plain data of at most {MAX_METADATA} bytes as JSON"
    if options.on_parent_end not in ("", "cancel", ABANDON):
        return "on_parent_end", f"on_parent_end is {options.on_parent_end[:64]!r}; it must be cancel or {ABANDON}"
    if not abs(options.priority) <= MAX_DELAY_MS / 1000:
        return "priority", f"priority is {options.priority}; it is seconds of head start, at most 30 days"
    return None


def _fits(metadata: dict[str, Any]) -> bool:
    try:
        return len(msgspec.json.encode(metadata)) <= MAX_METADATA
    except (TypeError, ValueError, RecursionError):
        return False


def check_value(value: Value) -> tuple[str, str] | None:
    """Refuse a claim check that points elsewhere than into the payload store's own folders."""
    if isinstance(value, ClaimCheck):
        clean = value.key.startswith((*INPUT_PREFIXES, "cas/")) and ".." not in value.key and "\\" not in value.key
        if not clean or len(value.sha256) != 64 or value.size < 0:
            return "claim_check", f"the claim check's key {value.key[:80]!r} does not point into the payload store"
    return None


def trigger(state: State, round_: Round, message: Trigger, actor: str) -> None:
    """Take a trigger: refuse it, find the run it already is, or begin the run."""
    run_id = message.run_id or RunId(uuid7(round_.now, round_.random(ENTROPY_BYTES)))
    refusal = begin_triggered(state, round_, message, run_id, actor)
    if refusal is not None:
        _reject(state, round_, message, run_id, *refusal)


def begin_triggered(state: State, round_: Round, message: Trigger, run_id: RunId, actor: str) -> tuple[str, str] | None:
    """Begin the run under this id, or find the one it already is; or (rule, text) of why it is refused."""
    problem = _problem(message.routine, run_id, message.options, message.input)
    if problem is None and message.options.idempotency_scope == keys.RUN:
        text = "the scope 'run' is for calls inside a workflow: what is triggered has no parent"
        problem = "idempotency_scope", text
    if problem is None and message.options.on_parent_end:
        problem = "on_parent_end", "on_parent_end is for calls inside a workflow: what is triggered has no parent"
    if problem:
        return problem
    existing = state.runs.get(run_id) or round_.put_away.get(run_id)
    if existing is not None or run_id in round_.facts.runs or ended(round_, run_id) is not None:
        _answer_existing(state, round_, message, run_id)
        return None
    batch_id = message.options.batch_id
    if batch_id and (problem := batching.refusal(state, round_, batch_id)) is not None:
        return problem
    run = _new_run(state, round_, run_id, message.routine, message.options)
    options = message.options
    row = keys.row_asked(options, run.routine) if options.idempotency_key else ""
    other = _shared(state, round_, message, run, row, actor) if row or options.debounce is not None else None
    if other is not None:
        if batch_id:
            batching.existed(state, round_, batch_id)
        _answer_existing(state, round_, message, other)
        return None
    full = limiting.refusal(state, _queue_of(state, run, message.options)) if state.queues else ""
    if full:
        return "max_size", full
    if row:
        keys.take(state, round_, row, run_id, message.options)
    if batch_id:
        batching.joined(state, round_, batch_id)
    run.root_id = run_id
    run.reply_to = message.reply_to
    run.correlation_id = message.correlation_id
    run.wants_outcome = message.wants == "outcome"
    run.plain = message.plain
    run.traceparent = message.traceparent
    run.cache_key = message.cache_key
    _begin(state, round_, run, message.input, message.options, actor)
    if message.reply_to and not (run.wants_outcome and (message.plain or run.id in round_.changes.ended)):
        _accept(round_, message, run)
    return None


def _shared(state: State, round_: Round, message: Trigger, asked: Run, row: str, actor: str) -> RunId | None:
    """The run that this trigger belongs to: by its idempotency key, or by its debounce (then it has taken the trigger
    up; the same trigger again is not another one)."""
    known = keys.holder(round_, row)
    if known is None and message.options.debounce is not None:
        known = keys.holder(round_, asked.id)
    if known is not None:
        return known
    found = debouncing.held(state, round_, asked.routine, message.options)
    if found is not None:
        asked.cache_key = message.cache_key
        debouncing.again(state, round_, asked, message.options, message.input, actor)
        if row:
            keys.take(state, round_, row, found, message.options)
    return found


def _accept(round_: Round, message: Trigger, run: Run) -> None:
    accepted = Accepted(
        run_id=run.id, status=run.status.value, correlation_id=message.correlation_id, reason=run.reason
    )
    reply(round_, message.reply_to, accepted, plain=message.plain)


def call(state: State, round_: Round, parent: Run, call: Call) -> tuple[RunId, Run | None]:
    """A workflow's call becomes a child run; or (None) it is answered by a run that is there already. Raises
    ProtocolError for one that a trigger would be rejected for: the worker should have refused it."""
    options = call.options or Options()
    routine = f"{call.routine}@{call.version}" if call.version else call.routine
    problem = _problem(routine, call.child_id, options, call.input)
    if problem is None and options.batch_id:
        problem = "batch_id", "batch_id is for what is triggered: a workflow's calls are its children"
    if problem is None and (call.child_id in state.runs or ended(round_, call.child_id) is not None):
        problem = "child_id", f"run {call.child_id} is there already"
    if problem:
        raise ProtocolError(f"call {call.address} of run {parent.id}: {problem[0]}: {problem[1]}")
    run = _new_run(state, round_, call.child_id, routine, options)
    if options.idempotency_key or options.debounce is not None:
        found = joining.shared(state, round_, parent, run, call)
        if found is not None:
            return found, None
        keys.take(state, round_, keys.row_asked(options, run.routine, parent.id), run.id, options)
    run.parent_id = parent.id
    run.parent_address = Address(call.address)
    run.parent_generation = parent.flow.generation if parent.flow else 0
    run.root_id = parent.root_id or parent.id
    run.spared = _is_spared(state, parent, options)
    run.traceparent = call.traceparent or parent.traceparent
    run.cache_key = call.cache_key
    if not options.pool:
        run.pool = parent.pool
    _begin(state, round_, run, call.input, options, parent.id)
    return run.id, run


def _is_spared(state: State, parent: Run, options: Options) -> bool:
    """Whether a child goes on when its parent ends: as the call says, else as the parent's routine does."""
    if options.on_parent_end:
        return options.on_parent_end == ABANDON
    offer = state.offer_of(parent)
    return offer is not None and offer.children == ABANDON


def _problem(routine: str, run_id: RunId, options: Options, value: Value) -> tuple[str, str] | None:
    name, reason = split_routine(routine)
    if not name:
        return "routine", reason
    if not is_run_id(run_id):
        return "run_id", f"{run_id[:64]!r} is no UUID in canonical form"
    return check_options(options) or versioning.check(routine, options) or check_value(value)


def _reject(state: State, round_: Round, message: Trigger, run_id: RunId, rule: str, text: str) -> None:
    if message.options.batch_id:
        batching.refused(state, round_, message.options.batch_id)
    if message.reply_to:
        rejected = Rejected(run_id=run_id, rule=rule, text=text, correlation_id=message.correlation_id)
        reply(round_, message.reply_to, rejected, plain=message.plain)


def _answer_existing(state: State, round_: Round, message: Trigger, run_id: RunId) -> None:
    """The same trigger again: tell where its run stands; who wants the outcome gets it now or when it comes."""
    if not message.reply_to:
        return
    run = state.runs.get(run_id) or round_.put_away.get(run_id) or round_.facts.runs.get(run_id)
    final = ended(round_, run_id)
    status = run.status.value if run else final.status if final else Status.QUEUED.value
    accepted = Accepted(
        run_id=run_id,
        status=status,
        asked_id=message.run_id if message.run_id != run_id else RunId(""),
        existing=True,
        correlation_id=message.correlation_id,
    )
    if message.wants != "outcome":
        reply(round_, message.reply_to, accepted, plain=message.plain)
        return
    if not message.plain:  # a foreign program waits for one answer: the outcome
        reply(round_, message.reply_to, accepted)
    if final is not None:
        outcome = outcome_of(final)
        outcome.correlation_id = message.correlation_id
        reply(round_, message.reply_to, outcome, plain=message.plain)
    elif run is None or (run.wants_outcome and run.reply_to == message.reply_to and _is_same(run, message)):
        return
    elif message.plain:
        state.foreign.setdefault(run_id, {})[message.reply_to, message.correlation_id] = None
    else:
        state.watchers.setdefault(run_id, set()).add(message.reply_to)


def _is_same(run: Run, message: Trigger) -> bool:
    """Whether the outcome of the run answers the trigger as well: a foreign program knows it by its correlation id."""
    return not message.plain or run.correlation_id == message.correlation_id


def _new_run(state: State, round_: Round, run_id: RunId, routine: str, options: Options) -> Run:
    name, version = split_routine(routine)
    run = Run(
        id=run_id,
        routine=name,
        asked_version=version or versioning.asked(options),
        status=Status.QUEUED,
        created_at=round_.now,
        pool=options.pool,
        priority=options.priority,
        max_attempts=options.max_attempts,
        timeout_ms=options.timeout_ms,
        version_deadline_ms=options.version_deadline_ms,
    )
    run.concurrency_key = options.concurrency_key
    run.care = care_asked(options)
    if options.queue:
        run.queue = options.queue
    if options.queue == DEFAULT and state.offer_of(run) is None:
        run.care = run.care or Care()
        run.care.in_default = True
    return run


def _queue_of(state: State, run: Run, options: Options) -> str:
    """The queue a new run goes to: as its trigger says, else as its routine does."""
    offer = state.offer_of(run)
    return options.queue or (offer.queue if offer is not None else run.queue)


def _begin(state: State, round_: Round, run: Run, value: Value, options: Options, actor: str) -> None:
    """Decide the first status, record it, and set the alarms that the options ask for."""
    offer = state.offer_of(run)
    if offer is not None:
        run.kind = offer.kind
        run.queue = options.queue or offer.queue
        if not caching.is_cacheable(run, offer):
            run.cache_key = ""
    round_.changes.inserted.append(NewRun(run, value, distinct(options.tags), options.metadata, options.batch_id))
    if options.idempotency_key:
        round_.changes.beginnings.keyed.append((run.id, options.idempotency_key, keys.producer_of(options)))
    if options.debounce is not None:
        debouncing.begun(round_, run, options)
    delay = debouncing.delay_of(options)
    hit = caching.lookup(round_, run) if run.cache_key and not delay else None
    if hit is not None:
        _begin_cached(state, round_, run, hit, actor)
        return
    if state.queues:
        limiting.arrives(state, run)
    if options.deadline_ms is not None or options.ttl_ms is not None:
        debouncing.limit_times(state, round_, run, options)
    if delay:
        run.status = Status.DELAYED
        run.due_at = round_.now + delay
        begin(state, round_, run, f"delayed until {run.due_at.isoformat(timespec='seconds')}", actor)
        state.wake_at(run.due_at, run.id, "due")
        return
    queue_new(state, round_, run, "", actor)


def queue_new(state: State, round_: Round, run: Run, reason: str, actor: str) -> None:
    """A new run waits for its turn, or for a worker that offers it."""
    now = round_.now
    if not state.is_offered(run):
        run.status = Status.PENDING_VERSION
        run.due_at = versioning.deadline(state, round_, run)
        missing = placing.missing_version(state, run)
        begin(state, round_, run, f"{reason}; {missing}" if reason else missing, actor)
        state.wake_at(run.due_at, run.id, "due")
        state.pending.setdefault(run.routine, {})[run.id] = None
        return
    run.queued_at = now
    begin(state, round_, run, reason or "triggered", actor)
    state.enqueue(run, now.timestamp() - run.priority)


def _begin_cached(state: State, round_: Round, run: Run, hit: CacheHit, actor: str) -> None:
    run.status = Status.COMPLETED
    run.cached = True
    run.version = hit.version
    run.started_at = round_.now
    begin(state, round_, run, f"equal result of run {hit.run_id}", actor)
    finish(state, round_, run, None, hit.result, None)
