"""An actor: state, and one message at a time. The life of one incarnation, top-down.

`live` is the whole way: construct, start, serve, close. `_serve` is the loop: the system lane first, then a turn
of at most `TURN` messages, then a look at the others on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from .context import Context, Done
from .envelope import Envelope, Failure
from .exits import Crashed, Exit, Killed, Normal, Shutdown, crashed
from .incarnation import Incarnation, Stop, settle

TURN = 64  # messages between two looks at the loop; an unbroken drain of 100,000 stalls it for 12-15 ms


class Actor:
    """Base of all actors: define `receive`, or `receive_batch` to take what has gathered at once.

    Each incarnation is a new object, made by its child spec's factory within its own task.
    """

    max_batch: ClassVar[int] = 1024  # the most messages that `receive_batch` is given at once
    context: Context  # there from `started` on, not yet in `__init__`

    async def started(self) -> None:
        """Called before the first message. One that raises is a crash; `stopping` is not called then."""

    async def receive(self, message: object) -> object:
        """Handle one message; what is returned answers an ask, a returned `Failure` refuses it.

        What is raised is a crash: the asker gets `ActorCrashed`, the supervisor decides.
        """
        raise TypeError(f"{type(self).__name__} takes no messages: define receive or receive_batch")

    async def receive_batch(self, messages: Sequence[object]) -> Sequence[object]:
        """Handle messages at once, oldest first; the answers, one for each in their order, go out on return.

        While it runs, the next batch gathers. An answer that is a `Failure` refuses that one ask.
        """
        raise TypeError(f"{type(self).__name__} takes no messages: define receive or receive_batch")

    async def stopping(self, exit: Exit) -> None:
        """Called once at the end of each incarnation that had started, whatever ended it; time: `shutdown`."""


async def live(incarnation: Incarnation) -> Exit:
    """One incarnation of an actor, as its child spec says; the body of its task."""
    spec = incarnation.child.spec
    try:
        actor = spec.factory(*spec.args, **spec.kwargs)
        if not isinstance(actor, Actor):
            raise TypeError(f"the factory of {incarnation.path!r} must make an Actor, found {type(actor).__name__}")
        actor.context = Context(incarnation)
        await actor.started()
    except Exception as error:
        return crashed(error)
    except asyncio.CancelledError as error:
        return _cancelled(incarnation, error)
    incarnation.is_ready()
    return await _work(actor, incarnation)


async def _work(actor: Actor, incarnation: Incarnation) -> Exit:
    batches = type(actor).receive_batch is not Actor.receive_batch
    try:
        exit = await (_serve_batches if batches else _serve)(actor, incarnation)
    except Exception as error:
        exit = crashed(error)
    except asyncio.CancelledError as error:
        exit = _cancelled(incarnation, error)
    if not isinstance(exit, Shutdown | Normal):
        settle(incarnation, exit)  # askers hear of a crash before the cleanup, which may take long
    clock = incarnation.child.system.clock
    incarnation.end_by(clock.monotonic() + incarnation.child.spec.shutdown)
    try:
        await actor.stopping(exit)
    except Exception as error:
        return exit if isinstance(exit, Crashed) else crashed(error)
    except asyncio.CancelledError as error:
        return exit if isinstance(exit, Crashed) else _cancelled(incarnation, error)
    return exit


async def _serve(actor: Actor, incarnation: Incarnation) -> Exit:
    mailbox = incarnation.child.mailbox
    queue, lane, receive, now = mailbox.queue, incarnation.lane, actor.receive, incarnation.child.system.now
    popleft = queue.popleft
    left = TURN
    while True:
        while lane:
            item = lane.pop(0)
            if isinstance(item, Stop):
                return Normal() if isinstance(item, Done) else Shutdown()
            await receive(item)
        if not queue:
            await mailbox.arrival()
            left = TURN
            continue
        if not left:
            await asyncio.sleep(0)
            left = TURN
            continue
        burst = min(left, len(queue))  # nobody else takes from the queue, so that many are there
        left -= burst
        for _ in range(burst):
            envelope = popleft()
            if mailbox.waiting:
                mailbox.admit()
            message, _, ask = envelope
            if ask is None:
                incarnation.in_hand = envelope
                answer = await receive(message)
                mailbox.handled += 1
                if answer is not None and answer.__class__ is Failure:
                    _refused(incarnation, message, answer)
            elif ask.future.done() or ask.deadline <= now():
                mailbox.skipped += 1
                ask.expire()
            else:
                ask.begun = True
                incarnation.in_hand = envelope
                answer = await receive(message)
                mailbox.handled += 1
                if incarnation.in_hand is not None:  # else it was stashed
                    ask.answer(answer)
            if lane:
                break
        incarnation.in_hand = None


async def _serve_batches(actor: Actor, incarnation: Incarnation) -> Exit:
    mailbox = incarnation.child.mailbox
    queue, lane = mailbox.queue, incarnation.lane
    while True:
        while lane:
            item = lane.pop(0)
            if isinstance(item, Stop):
                return Normal() if isinstance(item, Done) else Shutdown()
            await actor.receive_batch([item])
        if not queue:
            await mailbox.arrival()
            continue
        batch = _gather(incarnation, actor.max_batch)
        if batch:
            incarnation.in_hand = batch
            answers = await actor.receive_batch([envelope[0] for envelope in batch])
            if len(answers) != len(batch):
                raise TypeError(
                    f"receive_batch must give {len(batch)} answers, one for each message; found {len(answers)}"
                )
            mailbox.handled += len(batch)
            incarnation.in_hand = None
            _answer(incarnation, batch, answers)
        if queue:
            await asyncio.sleep(0)


def _gather(incarnation: Incarnation, at_most: int) -> list[Envelope]:
    mailbox = incarnation.child.mailbox
    queue = mailbox.queue
    now = incarnation.child.system.now()
    batch: list[Envelope] = []
    while queue and len(batch) < at_most:
        envelope = queue.popleft()
        if mailbox.waiting:
            mailbox.admit()
        ask = envelope[2]
        if ask is not None:
            if ask.future.done() or ask.deadline <= now:
                mailbox.skipped += 1
                ask.expire()
                continue
            ask.begun = True
        batch.append(envelope)
    return batch


def _answer(incarnation: Incarnation, batch: list[Envelope], answers: Sequence[object]) -> None:
    for (message, _, ask), answer in zip(batch, answers, strict=True):
        if ask is not None:
            ask.answer(answer)
        elif answer.__class__ is Failure:
            _refused(incarnation, message, answer)


def _refused(incarnation: Incarnation, message: object, answer: object) -> None:
    # Nobody waits for the answer to a tell, so a refusal would otherwise leave no trace.
    assert isinstance(answer, Failure)
    incarnation.child.system.letters.add(incarnation.path, message, f"refused: {type(answer.error).__name__}")


def _cancelled(incarnation: Incarnation, error: asyncio.CancelledError) -> Exit:
    # Awaiting something that another task cancelled raises the same error as one's own end does: then it is a crash.
    task = asyncio.current_task()
    if incarnation.killed or (task is not None and task.cancelling() > 0):
        return Killed()
    return crashed(error)
