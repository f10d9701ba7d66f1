"""Other processes hear of new jobs, whether the hint went with the insert or after it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from callboard import Settings
from callboard.storage.records import Wakeup
from tests.support.eventually import eventually
from tests.support.stores import Place

from .conftest import runtime_at

pytestmark = [pytest.mark.anyio]
SETTINGS = Settings()


async def one(number: int) -> None:
    """Nobody runs it."""


async def test_each_of_many_enqueues_right_after_each_other_is_heard_of(place: Place) -> None:
    """The first hint goes with its insert where the store can do that; none of those that follow may be lost."""
    heard: set[Wakeup] = set()
    everywhere: list[bool] = []
    listener = place.handle()
    runtime = runtime_at(place, SETTINGS)
    job = runtime.job(one)
    async with runtime:
        await listener.open()
        await listener.wakeups.listen(lambda told: heard.update(told) if told else everywhere.append(True))

        for number in range(8):
            await job.options(queue=f"q{number}").enqueue(number)
        await asyncio.gather(*(job.options(queue=f"g{number}").enqueue(number) for number in range(8)))

        wanted = {Wakeup("work", f"{line}{number}") for line in "qg" for number in range(8)}
        await eventually(lambda: wanted <= heard or everywhere)
        await listener.close()


async def test_what_is_enqueued_right_before_a_runtime_is_left_is_heard_of(place: Place) -> None:
    heard: set[Wakeup] = set()
    everywhere: list[bool] = []
    listener = place.handle()
    await listener.open()
    await listener.wakeups.listen(lambda told: heard.update(told) if told else everywhere.append(True))
    runtime = runtime_at(place, SETTINGS)
    job = runtime.job(one)
    async with runtime:
        await job.options(queue="first").enqueue(1)
        await job.options(queue="second").enqueue(2)

    await eventually(lambda: {Wakeup("work", "first"), Wakeup("work", "second")} <= heard or everywhere)
    await listener.close()


async def test_what_a_runtime_takes_along_is_not_announced_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtime_at(place, SETTINGS)
    job = runtime.job(one)
    announced: list[Wakeup] = []
    async with runtime:
        wakeups = runtime.node.store.wakeups
        announce, take_along = wakeups.announce, wakeups.take_along

        async def noted(told: Collection[Wakeup]) -> None:
            announced.extend(told)
            await announce(told)

        def only_first(told: Collection[Wakeup]) -> object | None:
            return take_along(told) if Wakeup("work", "first") in told else None

        monkeypatch.setattr(wakeups, "announce", noted)
        monkeypatch.setattr(wakeups, "take_along", only_first)
        await job.options(queue="first").enqueue(1)
        await job.options(queue="second").enqueue(2)
        await eventually(lambda: Wakeup("work", "second") in announced)

        assert (Wakeup("work", "first") in announced) != wakeups.joins_inserts
