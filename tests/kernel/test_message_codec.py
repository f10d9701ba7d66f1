"""Messages between nodes: what travels, and what bytes can and cannot do."""

from __future__ import annotations

import contextlib
import sys
import types
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard.kernel.codec import NotStorable, Undecodable, encode
from callboard.kernel.transport.message_codec import MARK, pack_message, unpack_message

CALLED: list[str] = []


@dataclass(frozen=True, slots=True)
class Add:
    number: int
    text: str = "none"


@dataclass
class Checked:
    number: int
    twice: int = field(init=False)

    def __post_init__(self) -> None:
        CALLED.append("post init")
        self.twice = self.number * 2


@dataclass(kw_only=True)
class Named:
    left: object
    right: object = None


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Colour(Enum):
    RED = "r"
    BLUE = "b"


class Level(IntEnum):
    LOW = 1


class Outer:
    @dataclass
    class Inner:
        value: int


@dataclass
class Younger:
    number: int
    more: list[int] = field(default_factory=list)


class Plain:
    """Neither of the three kinds."""


def calls() -> None:
    CALLED.append("called")


@pytest.mark.parametrize(
    "message",
    [
        None,
        True,
        3,
        2**80,
        "ünï",
        b"\x00\xff",
        1.5,
        [1, [2]],
        (1, (2, ())),
        {"a": {1: {2, 3}}},
        frozenset({1}),
        datetime(2026, 1, 2, tzinfo=UTC),
        Decimal("1.5"),
        Add(1),
        Add(2**80, "long"),
        Named(left=Add(1), right=[Point(1.0), {"c": Colour.RED}]),
        Point(1.0, 2.0),
        Colour.BLUE,
        Level.LOW,
        Outer.Inner(3),
        (MARK, 1),
        (MARK,),
        [(MARK, None, (MARK, "x:y", 2))],
        {Point(1.0, 2.0): Colour.RED, Colour.BLUE: 1},
        {Colour.RED, Point(0.0)},
    ],
)
def test_a_message_comes_back_as_it_was(message: object) -> None:
    back = unpack_message(pack_message(message))

    assert back == message
    assert type(back) is type(message)


def test_fields_come_back_without_running_what_made_them() -> None:
    message = Checked(4)
    CALLED.clear()

    back = unpack_message(pack_message(message))

    assert (back, CALLED) == (message, [])


def test_a_field_that_the_sender_did_not_know_yet_gets_its_default() -> None:
    older = [f"{__name__}:Younger", 1]

    assert unpack_message(b"\x01" + _packed(older)) == Younger(1, [])
    assert unpack_message(b"\x02" + encode((MARK, *older))) == Younger(1, [])


def test_a_class_is_found_once_its_module_is_there() -> None:
    name = "comes_later:Add"
    with pytest.raises(Undecodable, match="not known here"):
        unpack_message(b"\x01" + _packed([name, 1]))
    module = types.ModuleType("comes_later")
    sys.modules["comes_later"] = module
    try:
        exec("from dataclasses import dataclass\n@dataclass\nclass Add:\n    number: int", vars(module))
        assert unpack_message(b"\x01" + _packed([name, 1])) == module.Add(1)
    finally:
        del sys.modules["comes_later"]


def test_what_no_set_can_hold_is_undecodable() -> None:
    name = f"{__name__}:Checked"

    with pytest.raises(Undecodable):
        unpack_message(b"\x02" + encode({(MARK, name, 1, 2)}))


def test_more_or_fewer_fields_than_the_class_takes_are_refused() -> None:
    name = f"{__name__}:Add"

    with pytest.raises(Undecodable, match="another version"):
        unpack_message(b"\x01" + _packed([name, 1, "x", 3]))
    with pytest.raises(Undecodable, match="another version"):
        unpack_message(b"\x01" + _packed([name]))


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "os.path:join",
        "builtins:eval",
        "builtins:object",
        f"{__name__}:calls",
        f"{__name__}:Plain",
        f"{__name__}:CALLED",
        f"{__name__}:Outer",
        f"{__name__}:sys.modules",
        f"{__name__}:Add.__init__",
        f"{__name__}:Add.__class__",
        "antigravity:Add",
        "",
        ":",
        "Add",
    ],
)
def test_bytes_name_nothing_but_message_classes(name: str) -> None:
    CALLED.clear()

    for data in (b"\x01" + _packed([name, 1]), b"\x02" + encode((MARK, name, 1))):
        with pytest.raises(Undecodable, match="not known here"):
            unpack_message(data)

    assert "antigravity" not in sys.modules
    assert CALLED == []


def test_a_class_under_another_name_is_not_taken() -> None:
    """An alias in some other module would let a message choose how the class is called."""
    module = types.ModuleType("somewhere_else")
    module.Add = Add  # type: ignore[attr-defined]
    sys.modules["somewhere_else"] = module
    try:
        with pytest.raises(Undecodable, match="not known here"):
            unpack_message(b"\x01" + _packed(["somewhere_else:Add", 1]))
    finally:
        del sys.modules["somewhere_else"]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Plain(), "cannot be stored"),
        ([Plain()], r"\[0\]"),
        (Named(left=Plain()), "cannot be stored"),
        (lambda: 1, "cannot be stored"),
        ("\ud800", "lone surrogates"),
        (Add(1, "\ud800"), "lone surrogates"),
        (datetime(2026, 1, 2), "naive"),
    ],
)
def test_what_cannot_travel_is_refused_at_the_sender(message: object, why: str) -> None:
    with pytest.raises(NotStorable, match=why):
        pack_message(message)


def test_a_class_that_the_other_node_cannot_find_is_refused_at_the_sender() -> None:
    @dataclass
    class Local:
        number: int

    class Script(NamedTuple):
        number: int

    Script.__module__, Script.__qualname__ = "__main__", "Script"
    with pytest.raises(NotStorable, match="within a function"):
        pack_message(Local(1))
    main = sys.modules["__main__"]
    spec, main.__spec__ = main.__spec__, None
    try:
        with pytest.raises(NotStorable, match="the script that runs"):
            pack_message(Script(1))
    finally:
        main.__spec__ = spec


def test_a_message_that_contains_itself_is_refused() -> None:
    message: list[Any] = []
    message.append(message)

    with pytest.raises(NotStorable, match="nested more than"):
        pack_message(message)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_undecodable(data: bytes) -> None:
    with contextlib.suppress(Undecodable):
        unpack_message(data)


@given(st.integers(0, 60), st.binary(min_size=1, max_size=4))
def test_a_damaged_message_is_a_message_or_undecodable(at: int, noise: bytes) -> None:
    data = pack_message(Named(left=Add(1), right=[Point(1.0), {"c": Colour.RED}]))
    damaged = data[: at % len(data)] + noise + data[at % len(data) + 1 :]
    with contextlib.suppress(Undecodable):
        unpack_message(damaged)


def test_more_bytes_than_are_taken_are_refused() -> None:
    with pytest.raises(Undecodable, match="at most 10"):
        unpack_message(pack_message("x" * 100), max_bytes=10)


def _packed(value: object) -> bytes:
    import msgpack

    packed: bytes = msgpack.packb(value)
    return packed
