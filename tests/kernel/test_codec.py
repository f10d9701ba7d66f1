"""What the codec stores comes back; what it does not store is refused by name; no bytes surprise it."""

from __future__ import annotations

import math
import random
import threading
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.kernel.codec import (
    MAX_BYTES,
    MAX_DEPTH,
    NotStorable,
    Undecodable,
    decode,
    encode,
    pack_scalars,
    peek,
)
from callboard.kernel.errors import CallboardError


def occurs_once(moment: datetime) -> bool:
    """Not twice and not never, as when clocks are changed: such a time equals none in another zone (PEP 495)."""
    return moment.utcoffset() == moment.replace(fold=1 - moment.fold).utcoffset()


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**300), max_value=2**300)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.timezones() | st.just(UTC)).filter(lambda moment: occurs_once(moment))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
)
keys = st.recursive(scalars, lambda inner: st.tuples(inner) | st.frozensets(inner, max_size=3), max_leaves=4)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=5)
        | st.dictionaries(keys, inner, max_size=5)
        | st.sets(keys, max_size=5)
        | st.frozensets(keys, max_size=5)
    ),
    max_leaves=20,
)


def same(left: object, right: object) -> bool:
    """Equal in value and in type, all the way down: 1, 1.0 and True are three things."""
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return all(same(a, b) for a, b in zip(left.items(), right.items(), strict=True))
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return all(same(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, (set, frozenset)) and isinstance(right, (set, frozenset)):
        return sorted(map(repr, map(type, left))) == sorted(map(repr, map(type, right)))
    return True


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("moment", [datetime(2000, 3, 26, 2), datetime(2000, 10, 29, 2)])
def test_a_time_that_clocks_skip_or_repeat_keeps_its_offset(moment: datetime, fold: int) -> None:
    there = moment.replace(tzinfo=ZoneInfo("Asia/Novokuznetsk"), fold=fold)

    back = decode(encode(there))

    assert isinstance(back, datetime)
    assert (back.isoformat(), back.utcoffset()) == (there.isoformat(), there.utcoffset())


@settings(max_examples=500)
@given(values)
def test_every_value_comes_back_as_it_was(value: object) -> None:
    assert same(decode(encode(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        2**63 - 1,
        2**63,
        2**64 - 1,
        2**64,
        -(2**63),
        -(2**63) - 1,
        2**4000,
        -(2**64),
        math.inf,
        -0.0,
        "\x00",
        "é漢🎭",
        datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-3, minutes=-30, seconds=1))),
        datetime.max.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
        time(1, 2, 3, tzinfo=UTC),
        timedelta.min,
        timedelta.max,
        Decimal("1.20"),
        Decimal("-Infinity"),
        UUID(int=0),
        (),
        (1, (2, [3, {"a": ()}])),
        {1: "a", None: "b", (1, 2): {"c"}, frozenset({1}): []},
        {"": {b"": 1}},
    ],
    ids=repr,
)
def test_a_value_at_the_edge_comes_back(value: object) -> None:
    assert same(decode(encode(value)), value)


def test_nan_is_a_float_like_any_other() -> None:
    back = decode(encode([math.nan, Decimal("NaN")]))

    assert isinstance(back, list)
    assert math.isnan(back[0])
    assert back[1].is_nan()


def test_a_datetime_keeps_its_instant_and_offset_not_the_name_of_its_zone() -> None:
    moment = datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Lisbon"))

    back = decode(encode(moment))

    assert isinstance(back, datetime)
    assert (back, back.utcoffset()) == (moment, timedelta(hours=1))


def test_msgpacks_own_timestamp_is_read() -> None:
    assert decode(msgpack.packb(msgpack.Timestamp(0, 500_000_000))) == datetime(1970, 1, 1, 0, 0, 0, 500_000, UTC)


def test_equal_sets_give_equal_bytes() -> None:
    words = [f"word {number}" for number in range(100)]
    shuffled = random.Random(1).sample(words, len(words))

    assert encode(set(words)) == encode(set(shuffled))


class Level(IntEnum):
    HIGH = 3


class Shade(StrEnum):
    DARK = "dark"


class Shout(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (OrderedDict(a=1), {"a": 1}),
        (Shout("hey"), "hey"),
        (bytearray(b"raw"), b"raw"),
        ([Shout("hey")], ["hey"]),
    ],
)
def test_a_subclass_is_stored_as_its_plain_base(value: object, base: object) -> None:
    assert same(decode(encode(value)), base)


class Foo:
    """Nothing the codec knows."""


looped: list[Any] = []
looped.append(looped)


@pytest.mark.parametrize(
    ("value", "where", "why"),
    [
        (Foo(), "value: ", "type Foo cannot be stored; use "),
        ([1, {"a": (0, Foo())}], r"\[1\]\['a'\]\[1\]: ", "type Foo"),
        ({3: {"x": Foo()}}, r"\[3\]\['x'\]: ", "type Foo"),
        ({(1, Foo()): 1}, r" key <tuple>\[1\]: ", "type Foo"),
        ({"a", Foo()}, r"\{...\}: ", "type Foo"),
        ({("a", Foo())}, r"\{...\}\[1\]: ", "type Foo"),
        ([Level.HIGH], r"\[0\]: ", "annotate the parameter or result with Level"),
        ({Shade.DARK: 1}, " key ", "annotate the parameter or result with Shade"),
        (datetime(2024, 1, 1), "value: ", "naive datetime.*time zone"),
        (time(1, tzinfo=ZoneInfo("Europe/Lisbon")), "value: ", "offset depends on the day"),
        ("a\ud800", "value: ", "lone surrogates"),
        ({"a": ["b", ("\udfff",)]}, r"\['a'\]\[1\]\[0\]: ", "lone surrogates"),
        ({"\ud800": 1}, " key ", "lone surrogates"),
        ({1: {"\ud800"}}, r"\[1\]\{...\}: ", "lone surrogates"),
        (looped, r"\[0\]\[0\]", f"more than {MAX_DEPTH} containers"),
        (lambda: None, "value: ", "type function"),
        (Foo, "value: ", "type type"),
        (3j, "value: ", "type complex"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_stored_is_named(value: object, where: str, why: str) -> None:
    with pytest.raises(NotStorable, match=f"^{where}.*{why}") as refusal:
        encode(value)

    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500
    assert isinstance(refusal.value, CallboardError)


def nested(depth: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"list": [value], "dict": {"a": value}, "tuple": (value,), "keyed": {1: value}}[kind]
    return value


@pytest.mark.parametrize("kind", ["list", "dict", "tuple", "keyed"])
def test_depth_is_bounded_both_ways_at_the_same_place(kind: str) -> None:
    deepest, too_deep = nested(MAX_DEPTH, kind), nested(MAX_DEPTH + 1, kind)
    written = encode(too_deep, depth=MAX_DEPTH + 1)

    assert decode(encode(deepest)) == deepest
    with pytest.raises(NotStorable, match="containers deep"):
        encode(too_deep)
    with pytest.raises(Undecodable):
        decode(written)


def extension(code: int, content: bytes) -> bytes:
    packed: bytes = msgpack.packb(msgpack.ExtType(code, content))
    return packed


def deep_extensions(depth: int) -> bytes:
    content = b"\x90"
    for _ in range(depth):
        content = b"\x91" + extension(2, content)
    return extension(2, content)


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "truncated array": b"\x92\x01",
    "truncated text": b"\xa5he",
    "trailing bytes": b"\x01\x01",
    "two values": encode("a") + encode("b"),
    "a reserved byte": b"\xc1",
    "10,000 lists deep": b"\x91" * 10_000 + b"\xc0",
    "40 lists deep": b"\x91" * 40 + b"\xc0",
    "2,000 extensions deep": deep_extensions(2_000),
    "40 extensions deep": deep_extensions(40),
    "an array said to be huge": b"\xdd\xff\xff\xff\xff",
    "a map said to be huge": b"\xdf\xff\xff\xff\xff",
    "text said to be huge": b"\xdb\xff\xff\xff\xff",
    "bytes said to be huge": b"\xc6\xff\xff\xff\xff",
    "an extension said to be huge": b"\xc9\xff\xff\xff\xff\x01",
    "huge arrays within each other": b"\xdd\x00\x03\xff\xff" * 1_000 + b"\xc0" * 260_000,
    "an int as the key of a map": b"\x81\x01\x01",
    "a list as the key of a map": b"\x81\x90\x01",
    "a doubled key": b"\x82\xa1a\x01\xa1a\x02",
    "a doubled key further in": b"\x91\x82\xa1a\x01\xa1a\x02",
    "a lone surrogate": b"\xa3\xed\xa0\x80",
    "text that is not UTF-8": b"\xa2\xff\xfe",
    "an unknown extension": extension(99, b""),
    "a negative extension": b"\xd6\xfe1234",
    "a timestamp of three bytes": b"\xc7\x03\xff123",
    "a timestamp beyond the calendar": b"\xc7\x0c\xff" + b"\x00\x00\x00\x00" + b"\x7f" + b"\xff" * 7,
    "an int of no bytes": extension(1, b""),
    "a tuple that is no array": extension(2, b"\x01"),
    "a tuple, truncated": extension(2, b"\x92\x01"),
    "a set with a doubled member": extension(3, b"\x92\x01\x01"),
    "a set with a list in it": extension(3, b"\x91\x90"),
    "a frozenset with a dict in it": extension(4, b"\x91\x80"),
    "a dict with an odd count": extension(5, b"\x91\x01"),
    "a dict with a doubled key": extension(5, b"\x94\x01\x01\x01\x02"),
    "a dict with a list as key": extension(5, b"\x92\x90\x01"),
    "a naive datetime": extension(6, b"2024-01-01T00:00:00"),
    "no datetime": extension(6, b"yesterday"),
    "a datetime in other digits": extension(6, "2024-01-01T00:00:0\N{ARABIC-INDIC DIGIT TWO}+00:00".encode()),
    "a date of month 13": extension(7, b"2024-13-01"),
    "a time of hour 25": extension(8, b"25:00:00"),
    "a timedelta of 3 bytes": extension(9, b"123"),
    "a timedelta too long": extension(9, b"\x7f" * 12),
    "a UUID of 15 bytes": extension(10, b"x" * 15),
    "no Decimal": extension(11, b"one"),
    "more bytes than allowed": b"\xc6" + (MAX_BYTES + 1).to_bytes(4, "big") + b"\x00" * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_bytes_are_undecodable(name: str) -> None:
    with pytest.raises(Undecodable) as refusal:
        decode(MALFORMED[name])

    assert "\n" not in str(refusal.value)
    assert "yesterday" not in str(refusal.value)
    assert isinstance(refusal.value, CallboardError)


def test_a_limit_of_size_is_the_callers() -> None:
    written = encode("x" * 100)

    assert decode(written, max_bytes=len(written)) == "x" * 100
    with pytest.raises(Undecodable, match="102 bytes: expected at most 101"):
        decode(written, max_bytes=len(written) - 1)


def test_ten_thousand_damaged_payloads_raise_nothing_but_undecodable() -> None:
    rng = random.Random(41)
    samples = [
        encode({"a": [1, 2.5, None, True, "é", b"\x00"], "b": {1: (2, 3)}, "c": {"x", "y"}}),
        encode([datetime(2024, 1, 1, tzinfo=UTC), date(2024, 1, 1), time(1), timedelta(1), Decimal("1.5")]),
        encode([uuid5(UUID(int=1), "a"), 2**80, -(2**80), frozenset({(1, 2)}), [[[[[[]]]]]]]),
        *MALFORMED.values(),
    ]
    small = [sample for sample in samples if len(sample) < 3_000]
    refused = 0

    for _ in range(10_000):
        try:
            decode(damaged(rng, small))
        except Undecodable:
            refused += 1

    assert 2_000 < refused < 10_000


def damaged(rng: random.Random, samples: list[bytes]) -> bytes:
    if rng.random() < 0.2:
        return rng.randbytes(rng.randrange(60))
    data = bytearray(rng.choice(samples))
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0 if place < len(data):
                data[place] = rng.randrange(256)
            case 1:
                del data[place:]
            case 2:
                data[place:place] = rng.randbytes(rng.randrange(1, 4))
            case _:
                data[place:place] = rng.choice(samples)[: rng.randrange(20)]
    return bytes(data)


@settings(max_examples=1_000)
@given(st.binary(max_size=200))
def test_what_any_bytes_decode_to_can_be_stored_again(data: bytes) -> None:
    try:
        value = decode(data)
    except Undecodable:
        return

    assert repr(decode(encode(value))) == repr(value) or contains_set(value)


def contains_set(value: object) -> bool:
    """A set's repr depends on the order in which it was built."""
    if isinstance(value, dict):
        return any(contains_set(item) for pair in value.items() for item in pair)
    if isinstance(value, (list, tuple)):
        return any(contains_set(item) for item in value)
    return isinstance(value, (set, frozenset))


def test_scalars_are_packed_alike_either_way() -> None:
    call = [[42, "hello", None, True, 2.5, b"x"], {"lang": "en"}]

    assert pack_scalars(call) == encode(call)


def test_the_quick_packer_goes_on_after_a_refusal() -> None:
    with pytest.raises(UnicodeEncodeError):
        pack_scalars(["before", "\ud800"])
    with pytest.raises(OverflowError):
        pack_scalars(["before", 2**64])

    assert decode(pack_scalars(["after"])) == ["after"]


def test_the_quick_packer_is_safe_between_threads() -> None:
    wrong: list[object] = []
    start = threading.Barrier(4)

    def work(mine: int) -> None:
        start.wait()
        for number in range(2_000):
            call = [[mine, f"{number}" * (number % 50)], {}]
            if decode(pack_scalars(call)) != call:
                wrong.append(call)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


@pytest.mark.parametrize("data", [b"", b"\x92", b"\x01\x01", b"\xc1"])
def test_a_peek_at_what_is_no_msgpack_gives_none(data: bytes) -> None:
    assert peek(data, 100) is None


def test_a_peek_keeps_to_its_limit() -> None:
    assert peek(encode("abc"), 4) == "abc"
    assert peek(encode("abc"), 3) is None
