"""The testing kit: jobs run when the test says so, in memory and in virtual time."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from callboard import BadArguments, Cancel, Ctx, JobFailed, ResultTimeout, Retry, Runtime, Snooze
from callboard.runtime.job import InvalidOption
from callboard.storage.messages import PauseQueues, ResumeQueues
from callboard.testing import NotIdle, Testing
from tests.support.eventually import eventually

pytestmark = pytest.mark.both_loops


@pytest.fixture
def runtime() -> Runtime:
    return Runtime("sqlite:///never-made.db")


async def test_nothing_runs_until_the_test_says_so(runtime: Runtime) -> None:
    ran: list[int] = []

    @runtime.job
    async def note(number: int) -> None:
        ran.append(number)

    async with runtime.testing() as t:
        handle = await note.enqueue(1)
        for _ in range(100):
            await asyncio.sleep(0)
        assert (await handle.job()).state == "available"
        assert ran == []

        await t.run_until_idle()
        assert ran == [1]
        assert (await handle.job()).state == "completed"


async def test_run_until_idle_runs_what_jobs_enqueue(runtime: Runtime) -> None:
    @runtime.job
    async def chain(ctx: Ctx, left: int) -> int:
        if left:
            await chain.enqueue(left - 1)
        return left

    async with runtime.testing() as t:
        await chain.enqueue(20)
        await t.run_until_idle()

        assert [job.result for job in t.jobs(chain)] == list(range(20, -1, -1))


async def test_its_own_store_stays_untouched(tmp_path: Path) -> None:
    file = tmp_path / "jobs.db"
    runtime = Runtime(f"sqlite:///{file}")

    @runtime.job
    async def note() -> None: ...

    async with runtime.testing() as t:
        await note.enqueue()
        await t.run_until_idle()
    assert not file.exists()

    async with runtime:  # back on its own store
        await note.enqueue()
        assert (await runtime.counts())["available"] == 1
    assert file.exists()


async def test_each_block_begins_empty(runtime: Runtime) -> None:
    @runtime.job
    async def note() -> None: ...

    for _ in range(2):
        async with runtime.testing() as t:
            t.assert_not_enqueued(note)
            await note.enqueue()
            assert len(t.jobs()) == 1


async def test_settings_and_environment_come_back_after_a_failed_test(runtime: Runtime) -> None:
    settings = runtime.settings

    async def fail() -> None:
        async with runtime.testing():
            assert runtime.settings != settings
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert runtime.settings is settings
    assert not runtime.is_open


async def test_a_delay_is_over_when_time_has_passed(runtime: Runtime) -> None:
    @runtime.job
    async def note() -> datetime:
        return t.now

    async with runtime.testing() as t:
        began = t.now
        handle = await note.options(delay="1h").enqueue()
        await t.advance("59m")
        assert (await handle.job()).state == "scheduled"

        await t.advance("1m")
        assert timedelta(hours=1) <= await handle.result() - began <= timedelta(hours=1, milliseconds=2)
        assert t.now == began + timedelta(hours=1)


async def test_a_job_runs_at_its_moment_not_at_the_end_of_the_advance(runtime: Runtime) -> None:
    ran: list[datetime] = []

    @runtime.job
    async def note() -> None:
        ran.append(t.now)

    async with runtime.testing() as t:
        began = t.now
        for hours in (3, 1, 2):
            await note.options(delay=timedelta(hours=hours)).enqueue()
        await t.advance("1d")

        assert [round((at - began) / timedelta(hours=1), 3) for at in ran] == [1, 2, 3]


async def test_a_moment_given_by_the_wall_clock_comes(runtime: Runtime) -> None:
    @runtime.job
    async def note() -> None: ...

    async with runtime.testing() as t:
        handle = await note.options(at=datetime.now(UTC) + timedelta(days=2)).enqueue()
        await t.advance("1d")
        assert (await handle.job()).state == "scheduled"
        await t.advance("2d")
        assert (await handle.job()).state == "completed"


async def test_retries_wait_for_their_back_off(runtime: Runtime) -> None:
    attempts: list[int] = []

    @runtime.job(retry=Retry(max_attempts=3))
    async def fail(ctx: Ctx) -> None:
        attempts.append(ctx.attempt)
        raise ValueError("no luck")

    async with runtime.testing() as t:
        handle = await fail.enqueue()
        await t.run_until_idle()
        assert attempts == [1]
        assert (await handle.job()).state == "retryable"

        await t.advance("1d")
        assert attempts == [1, 2, 3]
        with pytest.raises(JobFailed):
            await handle.result()


async def test_a_snoozed_job_comes_again(runtime: Runtime) -> None:
    ran: list[datetime] = []

    @runtime.job
    async def wait(ctx: Ctx) -> str | Snooze:
        ran.append(t.now)
        return Snooze(600) if len(ran) < 3 else "done"

    async with runtime.testing() as t:
        handle = await wait.enqueue()
        await t.advance("19m")
        assert len(ran) == 2
        await t.advance("2m")

        assert await handle.result() == "done"
        assert (await handle.job()).attempt == 1


async def test_an_attempt_is_ended_by_its_timeout(runtime: Runtime) -> None:
    @runtime.job(timeout="30s", retry=Retry(max_attempts=1))
    async def long(ctx: Ctx) -> None:
        await ctx.sleep(3600)

    async with runtime.testing() as t:
        handle = await long.enqueue()
        await t.advance("29s")
        assert (await handle.job()).state == "executing"

        await t.advance("2s")
        job = await handle.job()
        assert job.state == "failed"
        assert job.error is not None
        assert "JobTimeout" in job.error.error.kind


async def test_a_handler_sleeps_in_virtual_time_and_keeps_its_lease(runtime: Runtime) -> None:
    @runtime.job
    async def nap(ctx: Ctx) -> int:
        await ctx.sleep(10 * 86400)
        return ctx.attempt

    async with runtime.testing() as t:
        handle = await nap.enqueue()
        await t.run_until_idle()
        assert (await handle.job()).state == "executing"

        await t.advance("10d")
        assert await handle.result() == 1
        assert (await handle.job()).crashes == 0


async def test_a_year_without_work_passes_without_polling(runtime: Runtime) -> None:
    @runtime.job
    async def note() -> None: ...

    async with runtime.testing() as t:
        await t.run_until_idle()
        before = sum(info.handled for info in runtime.node.root.which_children())
        await t.advance("365d")
        handled = sum(info.handled for info in runtime.node.root.which_children()) - before

        assert handled < 100
        await note.enqueue()
        await t.run_until_idle()
        assert t.assert_enqueued(note).state == "completed"


async def test_jobs_of_a_day_ago_are_still_there(runtime: Runtime) -> None:
    @runtime.job
    async def note(user_id: int) -> None: ...

    async with runtime.testing(clock="virtual") as t:
        await note.enqueue(42)
        await t.run_until_idle()
        await t.advance("30d")

        t.assert_enqueued(note, user_id=42)


async def test_plain_handlers_and_real_waiting_are_waited_for(runtime: Runtime) -> None:
    is_free = threading.Event()

    @runtime.job
    def plain() -> int:
        assert is_free.wait(10)
        return threading.get_ident()

    @runtime.job
    async def io() -> None:
        await asyncio.to_thread(is_free.wait, 10)

    async with runtime.testing() as t:
        handles = [await plain.enqueue(), await io.enqueue()]
        running = asyncio.ensure_future(t.run_until_idle())
        await eventually(lambda: [str(job.state) for job in t.jobs()] == ["executing", "executing"])
        assert not running.done()
        is_free.set()
        await running

        assert await handles[0].result() != threading.get_ident()
        assert [str(job.state) for job in t.jobs()] == ["completed", "completed"]


async def test_a_handler_that_waits_for_something_else_is_named(runtime: Runtime) -> None:
    @runtime.job
    async def stuck() -> None:
        await asyncio.Event().wait()

    async with runtime.testing() as t:
        await stuck.enqueue()

        with pytest.raises(NotIdle, match=r"(?s)0\.2 real seconds.*ctx\.sleep.*stuck .*attempt 1, at .*in wait"):
            await t.run_until_idle(timeout=0.2)


async def test_work_without_end_is_told(runtime: Runtime) -> None:
    @runtime.job
    async def again() -> None:
        await again.enqueue()

    async with runtime.testing() as t:
        await again.enqueue()

        with pytest.raises(NotIdle, match="work goes on without end"):
            await t.run_until_idle(timeout=0.2)


async def test_a_handler_may_wait_for_another_job(runtime: Runtime) -> None:
    @runtime.job(retry=Retry(max_attempts=2))
    async def child(ctx: Ctx) -> int:
        if ctx.attempt == 1:
            raise ValueError("at first")
        return 7

    @runtime.job
    async def parent() -> int:
        return await (await child.enqueue()).result() + 1

    async with runtime.testing() as t:
        handle = await parent.enqueue()
        await t.run_until_idle()
        assert [str(job.state) for job in t.jobs()] == ["executing", "retryable"]

        await t.advance("1h")
        assert await handle.result() == 8


async def test_waiting_for_a_result_times_out_in_virtual_time(runtime: Runtime) -> None:
    @runtime.job
    async def later() -> None: ...

    async with runtime.testing() as t:
        handle = await later.options(delay="1h").enqueue()
        waiting = asyncio.ensure_future(handle.result(timeout=60))
        await t.advance("59s")
        assert not waiting.done()
        await t.advance("2s")

        with pytest.raises(ResultTimeout):
            await waiting


async def test_more_jobs_than_slots_run_as_slots_come_free(runtime: Runtime) -> None:
    most = now = 0

    @runtime.job
    async def nap(ctx: Ctx) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await ctx.sleep(60)
        now -= 1

    async with runtime.testing() as t:
        await runtime.enqueue_many([nap.bind() for _ in range(25)])
        await t.run_until_idle()
        assert most == runtime.settings.slots == 10

        await t.advance("4m")
        assert {str(job.state) for job in t.jobs()} == {"completed"}
        assert most == 10


async def test_jobs_of_queues_that_nobody_registered_run_too(runtime: Runtime) -> None:
    @runtime.job
    async def note() -> None: ...

    async with runtime.testing() as t:
        handles = [await note.options(queue=queue).enqueue() for queue in ("mail", "default", "mail-2")]
        await t.run_until_idle()

        assert [str((await handle.job()).state) for handle in handles] == ["completed"] * 3


async def test_a_paused_queue_is_idle(runtime: Runtime) -> None:
    @runtime.job
    async def note() -> None: ...

    async with runtime.testing() as t:
        await runtime.node.storage.ask(PauseQueues(("default",)))
        handle = await note.enqueue()
        await t.advance("1d")
        assert (await handle.job()).state == "available"

        await runtime.node.storage.ask(ResumeQueues(("default",)))
        await t.run_until_idle()
        assert (await handle.job()).state == "completed"


async def test_an_executing_job_is_cancelled(runtime: Runtime) -> None:
    @runtime.job
    async def nap(ctx: Ctx) -> Cancel | None:
        await ctx.sleep(3600)
        return None

    async with runtime.testing() as t:
        handle = await nap.enqueue()
        await t.run_until_idle()
        await handle.cancel("not needed")
        await t.run_until_idle()

        job = await handle.job()
        assert (str(job.state), job.reason) == ("cancelled", "not needed")


async def test_code_under_test_may_open_the_runtime_and_let_it_work(runtime: Runtime) -> None:
    @runtime.job
    async def note() -> None: ...

    async def service() -> None:
        async with runtime, runtime.work(["default"]):
            await note.enqueue()

    async with runtime.testing() as t:
        await service()
        t.assert_enqueued(note)
        await t.run_until_idle()
        assert [str(job.state) for job in t.jobs()] == ["completed"]


async def test_sync_callers_reach_the_runtime_under_test(runtime: Runtime) -> None:
    @runtime.job
    async def note(text: str) -> str:
        return text.upper()

    @runtime.job
    def plain() -> None:
        note.enqueue_sync("from a thread")

    async with runtime.testing() as t:
        await plain.enqueue()
        await t.run_until_idle()

        assert t.assert_enqueued(note, text="from a thread").result == "FROM A THREAD"


async def test_an_attempt_that_sleeps_when_the_block_ends_is_stopped(runtime: Runtime) -> None:
    ends: list[str] = []

    @runtime.job
    async def nap(ctx: Ctx) -> None:
        try:
            await ctx.sleep(3600)
        finally:
            ends.append("stopped")

    async with runtime.testing() as t:
        await nap.enqueue()
        await t.run_until_idle()

    assert ends == ["stopped"]


async def test_a_handler_that_swallows_its_cancellation_does_not_hold_up_the_end(runtime: Runtime) -> None:
    is_free = asyncio.Event()

    @runtime.job
    async def stubborn(ctx: Ctx) -> None:
        while not is_free.is_set():
            try:
                await ctx.sleep(3600)
            except asyncio.CancelledError:
                await is_free.wait()

    async with runtime.testing() as t:
        await stubborn.enqueue()
        await t.run_until_idle()
    is_free.set()


@dataclass(frozen=True)
class Mail:
    to: str
    when: datetime


async def test_arguments_pass_through_the_codec(runtime: Runtime) -> None:
    given: list[object] = []

    @runtime.job
    async def send(mail: Mail, tags: list[str]) -> None:
        given.extend([mail, tags])

    mail, tags = Mail("ana", datetime(2026, 1, 1, tzinfo=UTC)), ["a"]
    async with runtime.testing() as t:
        await send.enqueue(mail, tags)
        tags.append("too late")
        await t.run_until_idle()

        assert given == [mail, ["a"]]
        assert given[0] is not mail
        t.assert_enqueued(send, mail=mail, tags=["a"])
        with pytest.raises(BadArguments):
            await send.enqueue(mail, "no list of strings", 3)  # type: ignore[call-arg, arg-type]


class TestAssertEnqueued:
    """What the assertions match, and what they say."""

    @pytest.fixture
    def runtime(self) -> Runtime:
        runtime = Runtime("memory://")

        @runtime.job
        async def send(ctx: Ctx, user_id: int, *, lang: str = "pt") -> None: ...

        @runtime.job
        async def other() -> None: ...

        return runtime

    async def test_arguments_match_by_name_with_defaults(self, runtime: Runtime) -> None:
        send = runtime.jobs["send"]
        async with runtime.testing() as t:
            await send.enqueue(42)
            await send.enqueue(user_id=43, lang="en")

            assert t.assert_enqueued(send, user_id=42).args == (42,)
            t.assert_enqueued(send, user_id=42, lang="pt")
            t.assert_enqueued("send", user_id=43)
            assert t.assert_enqueued(send).kwargs == {"user_id": 43, "lang": "en"}
            t.assert_not_enqueued(send, user_id=42, lang="en")

    async def test_the_failure_lists_what_was_enqueued(self, runtime: Runtime) -> None:
        async with runtime.testing() as t:
            assert self._failure(t, user_id=1).endswith("nothing was enqueued")
            await runtime.enqueue("send", 42)
            await runtime.enqueue("other")
            await runtime.enqueue("elsewhere", 7, a=1)

            assert self._failure(t, user_id=1) == (
                "expected send(user_id=1) among the enqueued jobs; enqueued were:"
                "\n  send(user_id=42, lang='pt'): available, attempt 0"
                "\n  other(): available, attempt 0"
                "\n  elsewhere(0=7, a=1): available, attempt 0"
            )

    async def test_a_long_list_is_cut(self, runtime: Runtime) -> None:
        async with runtime.testing() as t:
            await runtime.enqueue_many([runtime.jobs["send"].bind(number) for number in range(30)])

            assert self._failure(t, user_id=30).endswith("\n  and 10 more")

    async def test_an_argument_that_the_handler_does_not_take_is_a_mistake(self, runtime: Runtime) -> None:
        async with runtime.testing() as t:
            assert self._failure(t, user=1) == "job 'send' has no argument user: expected some of user_id, lang"
            with pytest.raises(AssertionError, match="has no argument user"):
                t.assert_not_enqueued("send", user=1)

    async def test_what_should_not_have_been_enqueued_fails(self, runtime: Runtime) -> None:
        async with runtime.testing() as t:
            await runtime.enqueue("send", 42)

            with pytest.raises(AssertionError, match=r"expected no send\(user_id=42\) among"):
                t.assert_not_enqueued("send", user_id=42)

    def _failure(self, t: Testing, **arguments: object) -> str:
        with pytest.raises(AssertionError) as caught:
            t.assert_enqueued("send", **arguments)
        return str(caught.value)


async def test_an_open_runtime_is_refused(runtime: Runtime) -> None:
    async with runtime.testing():
        with pytest.raises(InvalidOption, match="not open"):
            async with runtime.testing():
                raise AssertionError("it was opened twice")


async def test_another_clock_is_refused(runtime: Runtime) -> None:
    with pytest.raises(InvalidOption, match="expected \"virtual\", found 'real'"):
        async with runtime.testing(clock="real"):  # type: ignore[arg-type]
            raise AssertionError("it was opened")
