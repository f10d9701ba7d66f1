"""The simulation's event loop: virtual time, seeded order, nothing from outside, and what it uses of asyncio."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import Awaitable, Callable

import pytest

from callboard.runtime.sim_loop import SimLoop, _is_task
from callboard.testing import NotSimulated, SimDeadlock, Simulation, simulate
from tests.support.apart import run_apart


async def three_tasks() -> list[str]:
    """In which order three tasks took their turns."""
    turns: list[str] = []

    async def take(name: str) -> None:
        for _ in range(3):
            turns.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(*(take(name) for name in "abc"))
    return turns


class TestTime:
    """Virtual time."""

    def test_it_passes_only_while_nothing_is_ready(self) -> None:
        async def main() -> list[float]:
            loop = asyncio.get_running_loop()
            times = [loop.time()]
            for pause_s in (0, 1e-9, 3600, 1e7):
                await asyncio.sleep(pause_s)
                times.append(loop.time())
            return times

        assert simulate(main).value == [0.0, 0.0, 1e-9, 1e-9 + 3600, 1e-9 + 3600 + 1e7]

    def test_timers_run_in_the_order_of_their_time(self) -> None:
        async def main() -> list[int]:
            ran: list[int] = []
            loop = asyncio.get_running_loop()
            for delay_s in (3, 1, 2):
                loop.call_later(delay_s, ran.append, delay_s)
            loop.call_later(1.5, ran.append, 0).cancel()
            await asyncio.sleep(5)
            return ran

        assert simulate(main).value == [1, 2, 3]

    def test_timeouts_are_virtual(self) -> None:
        async def main() -> float:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(86400):
                    await asyncio.Event().wait()
            return asyncio.get_running_loop().time()

        assert simulate(main).value == 86400


class TestOrder:
    """What the seed decides, and what it must not."""

    def test_seeds_give_different_orders_of_tasks(self) -> None:
        orders = {"".join(simulate(three_tasks, seed=seed).value) for seed in range(30)}

        assert len(orders) > 10

    def test_callbacks_keep_their_order(self) -> None:
        async def main() -> list[int]:
            ran: list[int] = []
            done = asyncio.Event()
            for number in range(50):
                asyncio.get_running_loop().call_soon(ran.append, number)
            asyncio.get_running_loop().call_soon(done.set)
            await done.wait()
            return ran

        for seed in range(20):
            assert simulate(main, seed=seed).value == list(range(50))

    def test_a_task_never_runs_before_a_callback_that_was_scheduled_before_it(self) -> None:
        async def main() -> list[bool]:
            seen: list[bool] = []

            async def look(is_set: asyncio.Event) -> None:
                seen.append(is_set.is_set())

            events = [asyncio.Event() for _ in range(20)]
            tasks = []
            for event in events:
                asyncio.get_running_loop().call_soon(event.set)
                tasks.append(asyncio.ensure_future(look(event)))
            await asyncio.gather(*tasks)
            return seen

        for seed in range(20):
            assert simulate(main, seed=seed).value == [True] * 20


class TestHash:
    """The same seed, the same run."""

    def test_it_is_the_same_for_one_seed_and_another_for_another(self) -> None:
        first, second, other = (simulate(three_tasks, seed=seed) for seed in (7, 7, 8))

        assert first == second
        assert first.event_hash != other.event_hash

    def test_it_is_another_when_only_a_time_differs(self) -> None:
        def program(pause_s: float) -> Simulation[None]:
            return simulate(lambda: asyncio.sleep(pause_s), seed=7)

        assert program(1).event_hash == program(1).event_hash != program(1.001).event_hash

    def test_processes_and_hash_seeds_do_not_matter(self) -> None:
        lines = [
            run_apart("tests.support.workload:Workload(7).run", hash_seed=hash_seed) for hash_seed in ("0", "1", "4242")
        ]

        assert re.fullmatch(r"SIM seed=7 events=\d+ virtual_s=\d+\.\d{3} hash=[0-9a-f]{64}\n", lines[0])
        assert lines == [lines[0]] * 3


class TestEnds:
    """How a simulation ends that does not return."""

    def test_a_deadlock_names_who_waits_and_where(self) -> None:
        async def wait_for_nobody() -> None:
            await asyncio.Event().wait()

        async def main() -> None:
            await asyncio.gather(asyncio.create_task(wait_for_nobody(), name="patience"), wait_for_nobody())

        with pytest.raises(SimDeadlock) as caught:
            simulate(main, seed=7)

        text = str(caught.value)
        assert "nothing will ever happen again" in text
        assert re.search(r"\n  patience at .*locks\.py:\d+ in wait\n", text)
        assert re.search(r"\n  \S*wait_for_nobody#3 at ", text)
        assert re.search(r"\n  \S*main#1 at ", text)
        assert "seed=7" in caught.value.__notes__[0]

    def test_running_in_a_circle_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("callboard.runtime.sim_loop.STANDSTILL", 1000)

        async def main() -> None:
            await asyncio.sleep(5)
            while True:  # noqa: ASYNC110
                await asyncio.sleep(0)

        with pytest.raises(SimDeadlock, match=r"(?s)1,000 events without any time passing.*main#1"):
            simulate(main)

    def test_what_main_raises_comes_with_its_seed(self, capsys: pytest.CaptureFixture[str]) -> None:
        async def main() -> None:
            await asyncio.sleep(2)
            raise ZeroDivisionError("as it happens")

        with pytest.raises(ZeroDivisionError) as caught:
            simulate(main, seed=42)

        [note] = caught.value.__notes__
        assert note.startswith("SIM seed=42 events=")
        assert "virtual_s=2.000" in note
        assert capsys.readouterr().out == note + "\n"

    def test_tasks_that_are_left_end_in_order(self) -> None:
        ended: list[str] = []
        left: list[asyncio.Task[None]] = []

        async def stay(name: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(1)
                ended.append(name)

        async def main() -> None:
            left.extend(asyncio.get_running_loop().create_task(stay(name)) for name in "ab")
            await asyncio.sleep(1)

        result = simulate(main)

        assert ended == ["a", "b"]
        assert all(task.cancelled() for task in left)
        assert result.virtual_s == 1

    def test_a_task_that_cannot_be_ended_is_left(self) -> None:
        async def stay() -> None:
            for _ in range(2):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    continue

        async def main() -> None:
            main.left = asyncio.get_running_loop().create_task(stay())  # type: ignore[attr-defined]
            await asyncio.sleep(1)

        simulate(main)
        assert not main.left.done()  # type: ignore[attr-defined]
        main.left.get_coro().close()  # type: ignore[attr-defined]

    async def test_a_running_loop_is_refused(self) -> None:
        with pytest.raises(RuntimeError, match="owns its event loop"):
            simulate(three_tasks)


class TestOutside:
    """Nothing comes from outside."""

    @pytest.mark.parametrize(
        ("what", "ask"),
        [
            ("threads", lambda: asyncio.to_thread(len, "")),
            ("threads", lambda: asyncio.get_running_loop().getaddrinfo("localhost", 80)),
            ("processes", lambda: asyncio.create_subprocess_exec("true")),
            ("sockets", lambda: asyncio.open_unix_connection("/nowhere")),
        ],
        ids=["thread", "host", "process", "socket"],
    )
    def test_it_is_refused(self, what: str, ask: Callable[[], Awaitable[object]]) -> None:
        async def main() -> object:
            return await ask()

        with pytest.raises(NotSimulated, match=f"a simulation has no {what}"):
            simulate(main)

    def test_other_threads_are_refused(self) -> None:
        refused: list[BaseException] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()

            def call() -> None:
                try:
                    loop.call_soon_threadsafe(print)
                except NotSimulated as error:
                    refused.append(error)

            thread = threading.Thread(target=call)
            thread.start()
            thread.join()
            loop.call_soon_threadsafe(refused.append, ValueError("the loop's own thread may"))
            await asyncio.sleep(0.1)

        simulate(main)
        assert [type(error) for error in refused] == [NotSimulated, ValueError]


class TestAsyncio:
    """What the loop uses of asyncio's inside is there, and means what we think it does."""

    @pytest.fixture
    def loop(self) -> SimLoop:
        return SimLoop(0)

    def test_ready_and_scheduled(self, loop: SimLoop) -> None:
        soon = loop.call_soon(print)
        later = loop.call_later(5, print)

        assert isinstance(loop._ready, deque)
        assert list(loop._ready) == [soon]
        assert loop._scheduled == [later]
        assert later._when == 5  # type: ignore[attr-defined]
        assert later._scheduled  # type: ignore[attr-defined]
        assert not soon._cancelled
        assert soon._context is not None  # type: ignore[attr-defined]
        later.cancel()
        assert later._cancelled
        loop.close()

    def test_run_once_is_what_run_forever_calls(self, loop: SimLoop) -> None:
        ran: list[int] = []
        once = loop._run_once

        def counted() -> None:
            ran.append(1)
            once()

        loop._run_once = counted  # type: ignore[method-assign]
        loop.run_until_complete(asyncio.sleep(1))
        loop.close()
        assert ran

    def test_steps_of_tasks_are_told_from_callbacks(self, loop: SimLoop) -> None:
        seen: dict[str, bool] = {}
        note = loop._note

        def watched(handle: asyncio.Handle) -> None:
            callback = handle._callback  # type: ignore[attr-defined]
            if getattr(callback, "__self__", None) is task:
                seen[str(getattr(callback, "__name__", None))] = _is_task(callback)
            if _is_task(callback):
                note(handle)

        async def wait() -> None:
            await future
            await asyncio.sleep(0)

        async def main() -> None:
            await asyncio.sleep(1)
            future.set_result(None)
            await task
            loop.call_soon(task.cancel)
            await asyncio.sleep(1)

        loop._note = watched  # type: ignore[method-assign]
        future = loop.create_future()
        task = loop.create_task(wait())
        loop.run_until_complete(main())
        loop.close()

        assert seen.pop("cancel") is False
        assert len(seen) == 2  # a step and a waking up
        assert all(seen.values())
