"""NOTIFY: coalesced, switched off, and taken up again after the connection was lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection

import asyncpg

from callboard.storage.postgres.driver import PostgresStore
from callboard.storage.records import Wakeup
from tests.support.eventually import eventually
from tests.support.servers import postgres
from tests.support.stores import PostgresPlace

from .conftest import Opener

LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'callboard' AND query LIKE 'LISTEN \"callboard_{}%'"
)


async def test_what_gathers_is_said_once(store: PostgresStore, place: PostgresPlace) -> None:
    heard: list[str] = []
    ear = await asyncpg.connect(postgres.url())
    await ear.add_listener(f"callboard_{place.schema}", lambda *call: heard.append(str(call[3])))

    for number in range(300):
        await store.wakeups.announce([Wakeup("work", "default"), Wakeup("work", f"q{number % 3}")])
        await asyncio.sleep(0)
    await eventually(lambda: any('"q2"' in message for message in heard))
    await ear.close()

    assert len(heard) <= 3
    assert {queue for message in heard for _, queue in json.loads(message)[1]} == {"default", "q0", "q1", "q2"}


async def test_a_message_that_would_be_too_long_says_look_everywhere(store: PostgresStore, open_store: Opener) -> None:
    calls: list[list[Wakeup]] = []
    other = await open_store()
    await other.wakeups.listen(lambda wakeups: calls.append(list(wakeups)))

    await store.wakeups.announce([Wakeup("work", f"a-rather-long-name-{number}") for number in range(500)])

    await eventually(lambda: calls == [[]])


async def test_what_others_say_on_the_channel_means_look_everywhere(store: PostgresStore, place: PostgresPlace) -> None:
    calls: list[Collection[Wakeup]] = []
    await store.wakeups.listen(calls.append)

    await postgres.execute(f"NOTIFY callboard_{place.schema}, 'by hand'")

    await eventually(lambda: calls == [()])


async def test_a_listener_that_was_killed_listens_again(
    store: PostgresStore, open_store: Opener, place: PostgresPlace
) -> None:
    calls: list[list[Wakeup]] = []
    await store.wakeups.listen(lambda wakeups: calls.append(list(wakeups)))
    other = await open_store()

    await postgres.execute(f"SELECT pg_terminate_backend(pid) FROM ({LISTENERS.format(place.schema)}) AS listening")
    await eventually(lambda: [] in calls)  # whatever was said meanwhile: look everywhere
    await other.wakeups.announce([Wakeup("work", "mails")])

    await eventually(lambda: [Wakeup("work", "mails")] in calls)


async def test_notify_off_listens_and_says_nothing(open_store: Opener, place: PostgresPlace) -> None:
    silent = await open_store("&notify=off")
    calls: list[Collection[Wakeup]] = []
    await silent.wakeups.listen(calls.append)
    connection = await asyncpg.connect(postgres.url())

    listening = await connection.fetch(LISTENERS.format(place.schema))
    await connection.close()

    assert listening == []
