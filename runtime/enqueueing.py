"""From bound calls to rows in the store: by the storage actor, or as part of a caller's own transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..actors.definition import DEFAULT_PRIORITY, JobDefinition
from ..storage.job import NewJob
from ..storage.messages import InsertJobs
from ..storage.role import Term
from .handle import Handle
from .job import Call, InvalidOption, Options, refuse_fence_in_transaction

if TYPE_CHECKING:
    from .node import Node
    from .runtime import Runtime

T = TypeVar("T")

WRITE_S = 30.0  # the longest a caller waits for a store that does not answer


async def enqueue_one(runtime: Runtime, call: Call[T]) -> Handle[T]:
    """As `Runtime.enqueue_call`."""
    node = runtime.node
    queue, priority, run_at, timeout_ms = _place(node, call.definition, call.options)
    job = NewJob(node.ids.new_id(), call.name, queue, call.payload, priority, run_at, timeout_ms)
    created = await _insert(node, (job,), call.options.tx, call.options.fence)
    return Handle(runtime, job.id, call.definition, created=created[0])


async def enqueue_all(
    runtime: Runtime, calls: Iterable[Call[T]], tx: object | None, fence: Term | None
) -> list[Handle[T]]:
    """As `Runtime.enqueue_many`."""
    node = runtime.node
    calls = list(calls)
    tx, fence = _shared(calls, tx, fence)
    if not calls:
        return []
    jobs = new_rows(node, calls)
    created = await _insert(node, jobs, tx, fence)
    return [
        Handle(runtime, job.id, call.definition, created=was_created)
        for job, call, was_created in zip(jobs, calls, created, strict=True)
    ]


def new_rows(node: Node, calls: Sequence[Call[Any]]) -> list[NewJob]:
    """The rows that calls ask for, in order, under fresh ids; what comes after a delay counts from now."""
    rows: list[NewJob] = []
    like: Call[Any] | None = None  # most calls of a batch are like the one before, but for their arguments
    queue, priority, run_at, timeout_ms = "", 0, None, None
    for job_id, call in zip(node.ids.new_ids(len(calls)), calls, strict=True):
        if like is None or call.options is not like.options or call.definition is not like.definition:
            like = call
            queue, priority, run_at, timeout_ms = _place(node, call.definition, call.options)
        rows.append(NewJob(job_id, call.name, queue, call.payload, priority, run_at, timeout_ms))
    return rows


def _place(node: Node, definition: JobDefinition | None, options: Options) -> tuple[str, int, int | None, int | None]:
    """Queue, priority, moment and timeout."""
    queue = options.queue or ("default" if definition is None else definition.queue)
    priority = options.priority
    if priority is None:
        priority = DEFAULT_PRIORITY if definition is None else definition.priority
    run_at = options.at_ms
    if options.delay_s:
        run_at = node.parts.clock.wall_ms() + int(options.delay_s * 1000)
    return queue, priority, run_at, options.timeout_ms


async def _insert(node: Node, jobs: Sequence[NewJob], tx: object | None, fence: Term | None) -> list[bool]:
    if tx is not None:
        return await node.transactions.insert(tx, jobs)
    return await node.storage.ask(InsertJobs(jobs, fence), timeout=WRITE_S)


def _shared(calls: Sequence[object], tx: object | None, fence: Term | None) -> tuple[object | None, Term | None]:
    """The one transaction and the one fence that all calls have. Raises `InvalidOption` for other calls."""
    transactions: dict[int, object | None] = {}
    fences: set[Term | None] = set()
    for index, call in enumerate(calls):
        if not isinstance(call, Call):
            raise InvalidOption(f"enqueue_many: expected calls made by job.bind(...), found {call!r:.80} at {index}")
        transactions[id(call.options.tx)] = call.options.tx
        fences.add(call.options.fence)
    if tx is not None:
        transactions.pop(id(None), None)
        transactions[id(tx)] = tx
    if fence is not None:
        fences.discard(None)
        fences.add(fence)
    if len(transactions) > 1:
        raise InvalidOption("enqueue_many: expected one transaction for all calls, found several; give it as tx= here")
    if len(fences) > 1:
        raise InvalidOption("enqueue_many: expected one fence for all calls, found several; give it as fence= here")
    tx, fence = next(iter(transactions.values()), None), next(iter(fences), None)
    refuse_fence_in_transaction(tx, fence)
    return tx, fence
