"""The mailbox and a supervision tree against simple models, with whatever order of events hypothesis finds."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.kernel.actor import Actor
from callboard.kernel.child import ChildSpec
from callboard.kernel.clock import SystemClock
from callboard.kernel.errors import ActorStopped
from callboard.kernel.exits import Exit
from callboard.kernel.mailbox import Mailbox
from callboard.kernel.restarts import Strategy
from callboard.kernel.supervisor import Supervisor
from callboard.kernel.system import System

Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["offer", "tell", "take", "cancel", "push", "put back"]), st.integers(0, 9)), max_size=60
)


@given(steps=STEPS, capacity=st.integers(1, 4))
def test_a_mailbox_is_a_bounded_queue_with_a_line_before_it(steps: list[Step], capacity: int) -> None:
    asyncio.run(_compare_mailbox(steps, capacity))


async def _compare_mailbox(steps: list[Step], capacity: int) -> None:
    mailbox = Mailbox("box", capacity, System(SystemClock(), random.Random(0), None))
    queue: deque[int] = deque()
    line: list[tuple[int, asyncio.Task[None]]] = []
    for number, (step, choice) in enumerate(steps):
        match step:
            case "offer":
                assert mailbox.offer(number) == (len(queue) < capacity)
                if len(queue) < capacity:
                    queue.append(number)
            case "tell":
                line.append((number, asyncio.create_task(mailbox.tell(number, None))))
                await asyncio.sleep(0)
            case "take" if queue:
                message, _, _ = mailbox.queue.popleft()
                mailbox.admit()
                assert message == queue.popleft()
            case "cancel" if line:
                _, task = line.pop(choice % len(line))
                task.cancel()
                await asyncio.wait([task])
            case "push":
                mailbox.push(number)
                queue.append(number)
            case "put back":
                mailbox.put_back([(number, 0.0, None)])
                queue.appendleft(number)
            case _:
                continue
        while line and len(queue) < capacity:
            first, task = line.pop(0)
            queue.append(first)
            await task
        assert [message for message, _, _ in mailbox.queue] == list(queue)
        assert not any(task.done() for _, task in line)

    mailbox.close("done")
    refused = await asyncio.gather(*(task for _, task in line), return_exceptions=True)
    assert all(isinstance(error, ActorStopped) for error in refused)
    assert not mailbox.offer("too late")


class Life:
    """Who lives, and every message that was handled."""

    def __init__(self) -> None:
        self.alive: Counter[str] = Counter()
        self.handled: Counter[int] = Counter()
        self.order: list[str] = []


class Mortal(Actor):
    """Crashes at messages with `crash`, and in its first `failing_starts` starts."""

    def __init__(self, life: Life, name: str, failing_starts: list[bool]) -> None:
        self.life = life
        self.name = name
        self.failing_starts = failing_starts

    async def started(self) -> None:
        await asyncio.sleep(0)
        if self.failing_starts and self.failing_starts.pop():
            raise OSError("not yet")
        self.life.alive[self.name] += 1
        assert self.life.alive[self.name] == 1, "two incarnations at once"

    async def receive(self, message: object) -> object:
        assert isinstance(message, tuple)
        number, crashes = message
        self.life.handled[number] += 1
        await asyncio.sleep(0)
        if crashes:
            raise ValueError("as told")
        return number

    async def stopping(self, exit: Exit) -> None:
        await asyncio.sleep(0)
        self.life.alive[self.name] -= 1


@settings(max_examples=150)
@given(
    strategy=st.sampled_from(get_args(Strategy)),
    messages=st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 3)), max_size=30),
    failing_starts=st.lists(st.lists(st.booleans(), max_size=3), min_size=4, max_size=4),
)
def test_a_tree_loses_nothing_and_is_never_there_twice(
    strategy: Strategy, messages: list[tuple[int, bool, int]], failing_starts: list[list[bool]]
) -> None:
    asyncio.run(_crash_at_random(strategy, messages, failing_starts))


async def _crash_at_random(
    strategy: Strategy, messages: list[tuple[int, bool, int]], failing_starts: list[list[bool]]
) -> None:
    life = Life()
    mortals = [ChildSpec(Mortal, id=f"m{n}", args=(life, f"m{n}", starts)) for n, starts in enumerate(failing_starts)]
    inner = ChildSpec(Supervisor, id="inner", args=(mortals[2:],), kwargs={"strategy": strategy, "max_restarts": 1})
    tree = [mortals[0], inner, mortals[1]]
    async with Supervisor(tree, strategy=strategy, max_restarts=None, observer=lambda event: None) as sup:
        refs = [sup.ref(path) for path in ("m0", "m1", "inner/m2", "inner/m3")]
        for number, (whom, crashes, pauses) in enumerate(messages):
            await refs[whom].tell((number, crashes))
            for _ in range(pauses):
                await asyncio.sleep(0)
        for whom, ref in enumerate(refs):
            answer = await ref.ask((len(messages) + whom, False), timeout=30.0)
            assert answer == len(messages) + whom

        assert life.handled == Counter(range(len(messages) + len(refs)))
    assert not +life.alive
