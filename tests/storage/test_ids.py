"""Job ids: their layout, their order, their text."""

from __future__ import annotations

import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.kernel.clock import ManualClock
from callboard.storage.ids import IdFactory, InvalidId, format_id, parse_id


def factory(clock: ManualClock, seed: int = 0) -> IdFactory:
    return IdFactory(clock, random.Random(seed).randbytes)


def test_an_id_has_the_layout_of_uuid_version_7() -> None:
    clock = ManualClock(wall_ms=0x0123_4567_89AB)

    made = uuid.UUID(bytes=factory(clock).new_id())

    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 0x0123_4567_89AB


def test_ids_of_one_millisecond_grow() -> None:
    ids = [one() for one in [factory(ManualClock()).new_id] for _ in range(10_000)]

    assert ids == sorted(set(ids))


def test_ids_grow_over_more_than_4096_in_a_millisecond_and_stay_valid() -> None:
    make = factory(ManualClock(wall_ms=1))
    ids = [make.new_id() for _ in range(9_000)]

    assert ids == sorted(ids)
    assert {uuid.UUID(bytes=job_id).version for job_id in ids} == {7}


def test_ids_made_together_are_those_that_one_by_one_would_be_in_order_and_fresh() -> None:
    clock = ManualClock(wall_ms=7)
    make = factory(clock)

    before, some, after = make.new_id(), make.new_ids(5_000), make.new_id()

    assert [before, *some, after] == sorted({before, *some, after})
    assert {uuid.UUID(bytes=job_id).version for job_id in some} == {7}
    assert make.new_ids(0) == []


def test_ids_grow_when_the_wall_clock_goes_back() -> None:
    clock = ManualClock()
    make = factory(clock)
    before = make.new_id()

    clock.jump_wall(-3600)

    assert make.new_id() > before


def test_ids_of_a_later_millisecond_are_greater_whoever_made_them() -> None:
    clock = ManualClock()
    early = factory(clock, seed=1).new_id()

    clock.advance(0.001)

    assert factory(clock, seed=2).new_id() > early


def test_two_factories_make_different_ids() -> None:
    clock = ManualClock()

    assert factory(clock, seed=1).new_id() != factory(clock, seed=2).new_id()


def test_the_same_entropy_and_time_make_the_same_ids() -> None:
    first, second = factory(ManualClock()), factory(ManualClock())

    assert [first.new_id() for _ in range(2_000)] == [second.new_id() for _ in range(2_000)]


def test_entropy_is_asked_for_in_pools() -> None:
    asked: list[int] = []

    def entropy(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    make = IdFactory(ManualClock(), entropy)
    for _ in range(2_500):
        make.new_id()

    assert len(asked) <= 3


@given(st.binary(min_size=16, max_size=16))
def test_text_leads_back_to_the_bytes(job_id: bytes) -> None:
    text = format_id(job_id)

    assert text == str(uuid.UUID(bytes=job_id))
    assert parse_id(text) == parse_id(text.upper()) == parse_id(text.replace("-", "")) == job_id


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_text_sorts_as_the_bytes_do(first: bytes, second: bytes) -> None:
    assert (first < second) is (format_id(first) < format_id(second))


@pytest.mark.parametrize("text", ["", "42", "g" * 32, "0" * 31, "0" * 33, "no such job"])
def test_a_text_that_is_no_id_is_refused_with_what_was_found(text: str) -> None:
    with pytest.raises(InvalidId, match="is no job id: expected 32 hexadecimal digits") as caught:
        parse_id(text)

    assert repr(text) in str(caught.value)


def test_something_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidId):
        parse_id(42)  # type: ignore[arg-type]
