"""The public surface as type checkers see it: what is inferred, and which mistakes are refused.

Nothing here runs. `make check` reads it with mypy and with pyright, both strict, and both complain of an ignore that is
not needed: so a mistake that one of them would no longer refuse fails the check, like a type that has changed.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any, assert_type

from psycopg import AsyncConnection as AsyncPsycopg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from callboard import (
    Actor,
    Backoff,
    Cancel,
    ChildSpec,
    Ctx,
    Handle,
    JobState,
    Query,
    Ref,
    Registry,
    Retry,
    RetryAfter,
    Runtime,
    Settings,
    Snooze,
    StoredJob,
    Supervisor,
)
from callboard.testing import Simulation, Testing, simulate

runtime = Runtime("sqlite:///jobs.db", settings=Settings(lease="30s", grace=timedelta(seconds=20)))
registry = Registry()


@runtime.job(queue="mail", retry=Retry(max_attempts=8, never=(ValueError,)), timeout="30s")
async def send(ctx: Ctx, user_id: int, *, lang: str = "pt") -> str:
    return f"{user_id} {lang} {ctx.attempt}"


@runtime.job
async def without_ctx(number: int) -> float:
    return number / 2


@runtime.job
def plain(ctx: Ctx, words: list[str]) -> dict[str, int]:
    return dict.fromkeys(words, ctx.attempt)


@registry.job(process=True, priority=1)
def in_a_process(path: str) -> int:
    return len(path)


@runtime.job
async def answers(ctx: Ctx) -> int | Snooze | RetryAfter:
    return Snooze(5) if ctx.attempt == 1 else 3


@runtime.job()
async def gives_nothing(name: str) -> Cancel | None:
    return Cancel("no use") if name else None


async def enqueueing() -> None:
    async with runtime:
        h = await send.enqueue(42, lang="en")
        assert_type(h, Handle[str])
        assert_type(h.id, str)
        assert_type(h.created, bool)
        assert_type(await h.result(timeout=10), str)
        assert_type(await h.job(), StoredJob)
        assert_type((await h.job()).state, JobState)
        await h.cancel()

        assert_type(await send.options(delay="5m", priority=1).enqueue(42), Handle[str])
        assert_type(await runtime.enqueue_many([send.bind(user) for user in range(1000)]), list[Handle[str]])
        assert_type(await runtime.enqueue("send", 42, lang="en"), Handle[Any])
        assert_type(runtime.handle(h.id), Handle[Any])
        assert_type(await runtime.counts(queue=None), dict[str, int])

        assert_type(await without_ctx.enqueue(1), Handle[float])
        assert_type(await plain.enqueue(["a"]), Handle[dict[str, int]])
        assert_type(await in_a_process.enqueue("a"), Handle[int])
        assert_type(await answers.enqueue(), Handle[int])
        assert_type(await gives_nothing.enqueue("a"), Handle[None])


def from_a_thread() -> None:
    h = send.enqueue_sync(42)
    assert_type(h, Handle[str])
    assert_type(h.result_sync(timeout=10), str)


async def working() -> None:
    async with runtime.work(queues={"mail": 20, "default": 10}):
        pass
    async with runtime.work(["mail"]):
        pass


def running() -> None:
    runtime.include(registry)
    runtime.run(queues={"mail": 20})


async def test_kit() -> None:
    async with runtime.testing(clock="virtual") as t:
        assert_type(t, Testing)
        await send.enqueue(42)
        await t.run_until_idle()
        await t.advance("1d")
        await t.advance(timedelta(days=1))
        assert_type(t.assert_enqueued(send, user_id=42), StoredJob)
        t.assert_not_enqueued("send", user_id=43)
        assert_type(t.jobs(send), list[StoredJob])


def test_simulation() -> None:
    async def main() -> list[int]:
        return [1]

    assert_type(simulate(main, seed=7), Simulation[list[int]])
    assert_type(simulate(main).value, list[int])


class Add:
    def __init__(self, number: int) -> None:
        self.number = number


class Read(Query[int]):
    pass


class Tally(Actor):
    def __init__(self) -> None:
        self.total = 0

    async def receive(self, message: object) -> object:
        match message:
            case Add(number=number):
                self.total += number
            case Read():
                return self.total
            case _:
                pass
        return None


async def actors() -> None:
    spec = ChildSpec(Tally, id="tally", restart="transient")
    async with Supervisor([spec], strategy="one_for_one", max_restarts=3, within=5.0, backoff=Backoff()) as sup:
        tally = sup.ref("tally")
        assert_type(tally, Ref)
        await tally.tell(Add(2))
        assert_type(await tally.ask(Read(), timeout=1), int)
        assert_type(await tally.ask(Add(2)), object)
        assert_type(tally.try_tell(Add(2)), bool)


async def singletons() -> None:
    one = Runtime("sqlite:///jobs.db", link="redis://localhost:6379/0")
    one.singleton(ChildSpec(Tally, id="tally"))
    assert_type(one.ref("tally"), Ref)
    assert_type(await one.ref("tally").ask(Read()), int)
    assert_type(await send.options(fence=one.term()).enqueue(42, lang="en"), Handle[str])
    assert_type(await one.enqueue_many([send.bind(1)], fence=one.term()), list[Handle[str]])


@runtime.job
async def ends_itself(ctx: Ctx, number: int) -> str:
    with closing(sqlite3.connect("jobs.db")) as connection:
        assert_type(await ctx.complete(tx=connection), None)
        return assert_type(await ctx.complete("done", tx=connection), str)


async def transactions(session: AsyncSession, alchemy: AsyncConnection, psycopg: AsyncPsycopg[object]) -> None:
    """Any kind of connection goes; the types of arguments and results stay."""
    for tx in (session, alchemy, psycopg, sqlite3.connect("jobs.db")):
        assert_type(await send.options(tx=tx).enqueue(42, lang="en"), Handle[str])
        assert_type(await runtime.enqueue_many([send.bind(1)], tx=tx), list[Handle[str]])
    assert_type(await (await ends_itself.enqueue(1)).result(), str)


async def mistakes() -> None:
    """Each line is refused by both checkers."""
    await send.enqueue("42")  # type: ignore[arg-type]
    await send.enqueue()  # type: ignore[call-arg]
    await send.enqueue(42, "en")  # type: ignore[call-arg]
    await send.enqueue(42, language="en")  # type: ignore[call-arg]
    await send.enqueue(42, delay="5m")  # type: ignore[call-arg]
    send.enqueue_sync([42])  # type: ignore[arg-type]
    send.bind(user="ana")  # type: ignore[call-arg]
    send.options(priority="high")  # type: ignore[arg-type]
    send.options(user_id=42)  # type: ignore[call-arg]
    await runtime.enqueue_many([send])  # type: ignore[arg-type]
    send.options(fence=7)  # type: ignore[arg-type]
    runtime.singleton(Tally)  # type: ignore[arg-type]
    text: int = await (await send.enqueue(42)).result()  # type: ignore[assignment]
    number: str = await (await answers.enqueue()).result()  # type: ignore[assignment]
    await (await send.enqueue(42)).result(timeout=b"10s")  # type: ignore[arg-type]
    runtime.run(queues=20)  # type: ignore[arg-type]
    Retry(max_attempts="8")  # type: ignore[arg-type]
    Settings(leese="30s")  # type: ignore[arg-type]
    ChildSpec(Tally, id="tally", restart="sometimes")  # type: ignore[arg-type]
    ChildSpec(Tally, "tally")  # type: ignore[call-arg]
    simulate(mistakes(), seed=7)  # type: ignore[arg-type]
    del text, number


@runtime.job(queue=3)  # type: ignore[call-overload, untyped-decorator]
async def misplaced() -> None: ...


@runtime.job(retries=3)  # type: ignore[call-overload, untyped-decorator]
async def misnamed() -> None: ...
