"""Control messages: requests that wait for a node until it answers."""

from __future__ import annotations

from collections import Counter

import pytest

from callboard.storage.control import Control, ControlAnswer
from callboard.storage.ports.store import Store
from callboard.storage.records import Node
from tests.support.at_once import in_threads
from tests.support.node_hands import NodeHands
from tests.support.stores import Place

A, B = b"A" * 16, b"B" * 16
ODD_BODIES = [b"", b"\0", b"\xff\xfe", bytes(range(256)), b"'; DROP TABLE controls; --", b"x" * 100_000]


def ask(number: int, *, boot_id: bytes = A, verb: str = "ping", body: bytes = b"", asked_at: int = 0) -> Control:
    return Control(number.to_bytes(16, "big"), boot_id, verb, body, asked_at)


async def test_a_request_waits_for_its_node_and_for_no_other(store: Store, second_store: Store) -> None:
    request = ask(1, verb="drain", body=b"grace", asked_at=1_764_000_000_000)

    await store.controls.send([request])

    assert list(await second_store.controls.take(A, limit=10)) == [request]
    assert list(await second_store.controls.take(B, limit=10)) == []


async def test_nobody_asks_whether_the_node_exists(store: Store) -> None:
    assert list(await store.nodes.list()) == []
    await store.controls.send([ask(1)])
    await store.nodes.register(Node(A, "host", 1, "1", 0))
    await store.nodes.forget([A])

    assert list(await store.controls.take(A, limit=10)) == [ask(1)]


async def test_the_longest_waiting_is_taken_first(store: Store) -> None:
    times = {4: 3, 2: 1, 5: 1, 1: 2, 3: 1}
    requests = [ask(number, asked_at=asked_at) for number, asked_at in times.items()]
    await store.controls.send(requests[:3])
    await store.controls.send(requests[3:])

    taken = await store.controls.take(A, limit=10)

    assert list(taken) == sorted(requests, key=lambda request: (request.asked_at, request.id))
    assert list(await store.controls.take(A, limit=2)) == list(taken)[:2]
    assert list(await store.controls.take(A, limit=0)) == []


async def test_a_request_goes_on_waiting_until_it_is_answered(store: Store) -> None:
    await store.controls.send([ask(1), ask(2)])

    for _ in range(3):
        assert list(await store.controls.take(A, limit=10)) == [ask(1), ask(2)]

    await store.controls.answer([ControlAnswer(ask(1).id, b"pong")])
    assert list(await store.controls.take(A, limit=10)) == [ask(2)]


async def test_a_request_that_is_sent_again_is_the_same_request(store: Store, second_store: Store) -> None:
    request = ask(1, body=b"first", asked_at=5)
    await store.controls.send([request, request._replace(body=b"twice in a batch")])
    await second_store.controls.send([request._replace(boot_id=B, verb="drain", body=b"second", asked_at=1)])

    assert list(await store.controls.take(A, limit=10)) == [request]
    assert list(await store.controls.take(B, limit=10)) == []
    await store.controls.answer([ControlAnswer(request.id, b"done")])
    await store.controls.send([request])
    assert list(await store.controls.take(A, limit=10)) == []


async def test_answers_stand_in_the_order_asked(store: Store, second_store: Store) -> None:
    requests = [ask(number) for number in range(5)]
    await store.controls.send(requests)
    replies = [ControlAnswer(requests[number].id, bytes([number])) for number in (3, 0)]

    await second_store.controls.answer(replies)

    ids = [requests[number].id for number in (0, 1, 3, 0)] + [b"?" * 16]
    assert list(await store.controls.answers(ids)) == [replies[1], None, replies[0], replies[1], None]
    assert list(await store.controls.answers([])) == []


async def test_the_first_answer_stands(store: Store) -> None:
    await store.controls.send([ask(1), ask(2)])
    first, second = ControlAnswer(ask(1).id, b"first"), ControlAnswer(ask(1).id, b"second")

    await store.controls.answer([first, second])
    await store.controls.answer([second, ControlAnswer(b"?" * 16, b"to nothing"), ControlAnswer(ask(2).id, b"")])

    assert list(await store.controls.answers([ask(1).id, ask(2).id, b"?" * 16])) == [
        first,
        ControlAnswer(ask(2).id, b""),
        None,
    ]


async def test_prune_removes_what_was_asked_before_answered_or_not(store: Store) -> None:
    await store.controls.send([ask(number, asked_at=number) for number in range(1, 5)])
    await store.controls.answer([ControlAnswer(ask(number).id, b"ok") for number in (1, 4)])

    assert await store.controls.prune(asked_before=3) == 2
    assert await store.controls.prune(asked_before=3) == 0

    assert list(await store.controls.take(A, limit=10)) == [ask(3, asked_at=3)]
    assert list(await store.controls.answers([ask(1).id, ask(4).id])) == [None, ControlAnswer(ask(4).id, b"ok")]
    await store.controls.answer([ControlAnswer(ask(2).id, b"too late")])
    assert list(await store.controls.answers([ask(2).id])) == [None]


async def test_many_are_kept_taken_answered_and_pruned(store: Store) -> None:
    requests = [ask(number, asked_at=number % 7) for number in range(1, 2501)]
    await store.controls.send(requests)

    assert len(await store.controls.take(A, limit=10_000)) == len(requests)
    await store.controls.answer([ControlAnswer(request.id, request.id) for request in requests[:2000]])
    answers = await store.controls.answers([request.id for request in requests])

    assert [answer is not None for answer in answers] == [True] * 2000 + [False] * 500
    assert await store.controls.prune(asked_before=7) == len(requests)
    assert list(await store.controls.take(A, limit=10_000)) == []


async def test_empty_batches_change_nothing(store: Store) -> None:
    await store.controls.send([])
    await store.controls.answer([])

    assert await store.controls.prune(asked_before=1 << 50) == 0


@pytest.mark.parametrize("verb", ["", "ping", "nul\0", "half \ud83e", "\U0001f916", "{x}:* 'quoted'"])
async def test_verbs_may_be_any_text(store: Store, verb: str) -> None:
    await store.controls.send([ask(1, verb=verb)])

    assert [request.verb for request in await store.controls.take(A, limit=1)] == [verb]


async def test_bodies_may_be_any_bytes(store: Store) -> None:
    requests = [ask(number, body=body, asked_at=number) for number, body in enumerate(ODD_BODIES)]
    await store.controls.send(requests)

    assert list(await store.controls.take(A, limit=10)) == requests
    replies = [ControlAnswer(request.id, request.body) for request in requests]
    await store.controls.answer(replies)
    assert list(await store.controls.answers([request.id for request in requests])) == replies


async def test_senders_at_once_keep_each_request_once(store: Store, place: Place) -> None:
    requests = [ask(number, asked_at=number) for number in range(200)]

    async def send(hands: NodeHands) -> None:
        for start in range(0, len(requests), 10):
            await hands.store.controls.send(requests[start : start + 10])

    await in_threads(place, send, send, send)

    assert Counter(await store.controls.take(A, limit=1000)) == Counter(requests)
