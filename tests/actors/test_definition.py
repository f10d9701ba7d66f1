"""A definition: what its handler takes, what is refused at enqueue, and what comes back from what was stored."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import Path, PurePosixPath
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Protocol,
    TypedDict,
    TypeVar,
)
from uuid import UUID

import pydantic
import pytest

from callboard.actors.definition import (
    BadArguments,
    ContextMarker,
    HandlerNotFound,
    InvalidName,
    JobDefinition,
    PayloadTooLarge,
    ResultNotStorable,
    ResultTooLarge,
    define,
    encode_anonymous,
    import_function,
    validate_name,
    validate_queue,
)
from callboard.actors.outcome import Cancel, Discard, RetryAfter, Snooze
from callboard.actors.retry import Retry
from callboard.kernel.codec import NotStorable, Undecodable, encode

if TYPE_CHECKING:
    from somewhere_else import Unseen  # type: ignore[import-not-found]


class Ctx(ContextMarker):
    """As a handler's context is known."""


class Color(Enum):
    RED = "r"
    BLUE = "b"


class Size(IntEnum):
    S = 1
    M = 2


class Tone(StrEnum):
    DARK = "dark"


class Right(Flag):
    READ = 1
    WRITE = 2


class Pair(Enum):
    HOME = (1, 2)


@dataclass
class Point:
    x: int
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Tree:
    name: str
    color: Color | None = None
    children: list[Tree] = field(default_factory=list)
    at: dict[Color, tuple[Point, ...]] = field(default_factory=dict)


@dataclass
class Point3(Point):
    z: int = 0


@dataclass
class Circle:
    size: int


@dataclass
class Square:
    size: int


@dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("odd")


@dataclass
class Secretive:
    name: str
    secret: InitVar[int]


class Place(NamedTuple):
    name: str
    at: Point
    floor: int = 0


class Movie(TypedDict):
    title: str
    colors: list[Color]
    year: NotRequired[int]


T = TypeVar("T")


@dataclass
class Box(Generic[T]):
    item: T
    more: list[T] = field(default_factory=list)


class Address(pydantic.BaseModel):
    street: str
    since: datetime
    color: Color = Color.RED
    lines: tuple[int, ...] = ()


class StrictModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    since: datetime
    id: UUID


class Aliased(pydantic.BaseModel):
    in_: int = pydantic.Field(alias="in")


class Numbers(pydantic.RootModel[list[int]]):
    """A model of one list."""


class Password(pydantic.BaseModel):
    text: pydantic.SecretStr


class UserId(int):
    """A plain value under a name of its own."""


class Opaque:
    """A class that nothing is known of."""

    def __repr__(self) -> str:  # the same in every process that collects it
        return "Opaque()"


class Sized(Protocol):
    def __len__(self) -> int: ...


Amount = NewType("Amount", Decimal)
Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
SOME_ID = UUID("12345678-1234-5678-1234-567812345678")
TREE = Tree("root", Color.RED, [Tree("leaf", None, [], {Color.BLUE: (Point(1), Point(2, 2.5))})])


def taking(annotation: Any) -> JobDefinition:
    """A job whose handler takes and returns one `value` of that type."""

    def handler(value: Any) -> Any: ...

    handler.__annotations__ = {"value": annotation, "return": annotation}
    return define(handler)


ROUND_TRIPS: list[tuple[Any, Any]] = [
    (int, 42),
    (int, 2**80),
    (int, True),
    (float, 2.5),
    (float, 3),
    (str, "hé"),
    (bytes, b"\x00\xff"),
    (bytearray, bytearray(b"ab")),
    (bool, False),
    (None, None),
    (datetime, NOON),
    (date, NOON.date()),
    (time, time(8, 30)),
    (timedelta, timedelta(days=-1, microseconds=3)),
    (UUID, SOME_ID),
    (Decimal, Decimal("1.20")),
    (Amount, Amount(Decimal("3"))),
    (Path, Path("/tmp/x")),
    (PurePosixPath, PurePosixPath("a/b")),
    (UserId, UserId(7)),
    (Annotated[int, "positive"], 3),
    (Any, {"a": [1, (2, 3)], "b": {4}}),
    (object, [NOON, SOME_ID]),
    (list, [1, "a", None]),
    (list[int], []),
    (list[Color], [Color.RED, Color.BLUE]),
    (Sequence[Point], [Point(1)]),
    (tuple, (1, "a")),
    (tuple[()], ()),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[Color, Point], (Color.RED, Point(1))),
    (set[Color], {Color.BLUE}),
    (frozenset[int], frozenset({1, 2})),
    (set[tuple[int, str]], {(1, "a")}),
    (dict[str, Point], {"a": Point(1)}),
    (dict[int, str], {1: "a"}),
    (dict[Color, list[Point]], {Color.RED: [Point(1, 2.0)]}),
    (Mapping[str, int], {"a": 1}),
    (Color, Color.BLUE),
    (Size, Size.M),
    (Tone, Tone.DARK),
    (Right, Right.READ | Right.WRITE),
    (Pair, Pair.HOME),
    (Point, Point(1, 2.0)),
    (Tree, TREE),
    (Even, Even(4)),
    (Box[Color], Box(Color.RED, [Color.BLUE])),
    (Box[Point], Box(Point(1))),
    (Place, Place("home", Point(1), 3)),
    (Movie, {"title": "M", "colors": [Color.RED]}),
    (Movie, {"title": "M", "colors": [], "year": 1931}),
    (Address, Address(street="Rua A", since=NOON, color=Color.BLUE, lines=(1, 2))),
    (list[Address], [Address(street="Rua B", since=NOON)]),
    (StrictModel, StrictModel(since=NOON, id=SOME_ID)),
    (Aliased, Aliased.model_validate({"in": 3})),
    (Numbers, Numbers([1, 2])),
    (Numbers | None, Numbers([1, 2])),
    (Numbers | list[int], [1, 2]),
    (Optional[Color], None),  # noqa: UP045
    (Color | None, Color.RED),
    (int | str, "a"),
    (int | float | None, 2.5),
    (Circle | Square, Circle(1)),
    (Circle | Square, Square(1)),
    (Circle | Square | None, None),
    (list[Circle | Square], [Circle(1), Square(1)]),
    (Tone | str, Tone.DARK),
    (Tone | str, "dark"),
    (Size | int, Size.S),
    (Size | int, 1),
    (list[int] | list[Color], [1]),
    (list[int] | list[Color], [Color.RED]),
    (tuple[str, int] | tuple[Color, int], (Color.RED, 1)),
    (datetime | date, NOON),
    (datetime | date, NOON.date()),
    (datetime | str, "2024-01-01"),
    (Literal["a", 1, None], "a"),
    (Literal["a", 1, None], 1),
    (Literal[Color.RED, "x"], Color.RED),
    (Json, {"a": [1, {"b": None}]}),
]


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS, ids=repr)
def test_arguments_and_results_come_back_as_annotated(annotation: Any, value: Any) -> None:
    definition = taking(annotation)

    (by_place,), _ = definition.decode_call(definition.encode_call((value,), {}))
    _, by_name = definition.decode_call(definition.encode_call((), {"value": value}))
    result = definition.decode_result(definition.encode_result(value))

    for back in (by_place, by_name["value"], result):
        assert back == value
        assert type(back) is type(value)
    assert definition.problems() == []


@pytest.mark.parametrize(
    ("annotation", "given", "restored"),
    [
        (UUID, str(SOME_ID), SOME_ID),
        (datetime, NOON.isoformat(), NOON),
        (date, "2024-02-29", NOON.date()),
        (timedelta, "5m", timedelta(minutes=5)),
        (timedelta, 90, timedelta(seconds=90)),
        (Decimal, "1.20", Decimal("1.20")),
        (Color, "r", Color.RED),
        (Path, "a/b", Path("a/b")),
        (list[int], (1, 2), [1, 2]),
        (tuple[int, ...], [1, 2], (1, 2)),
        pytest.param(set[Color], ["r", "b"], {Color.RED, Color.BLUE}, id="set of Color"),
        (Point, {"x": 1}, Point(1)),
        (Tree, {"name": "a", "color": "b", "children": [{"name": "b"}]}, Tree("a", Color.BLUE, [Tree("b")])),
        (Place, ["home", {"x": 1}], Place("home", Point(1))),
        (Place, {"name": "home", "at": {"x": 1}}, Place("home", Point(1))),
        (Address, {"street": "A", "since": NOON.isoformat()}, Address(street="A", since=NOON)),
        (Circle | None, {"size": 1}, Circle(1)),
        (Circle | Square, {"size": 1}, Circle(1)),
        (Size | None, 2, Size.M),
        (datetime | None, NOON.isoformat(), NOON),
    ],
)
def test_what_json_brings_is_taken_as_the_annotated_type(annotation: Any, given: Any, restored: Any) -> None:
    definition = taking(annotation)

    (value,), _ = definition.decode_call(definition.encode_call((given,), {}))
    (unseen,), _ = definition.decode_call(encode_anonymous("value", (given,), {}))

    assert value == unseen == restored


@pytest.mark.parametrize(
    ("annotation", "given", "said"),
    [
        (int, "42", "'value': expected int; found str"),
        (int, 4.0, "expected int; found float"),
        (int, None, "expected int; found NoneType"),
        (str, b"a", "expected str; found bytes"),
        (bool, 1, "expected bool; found int"),
        (float, "1", "expected float; found str"),
        (bytes, "a", "expected bytes; found str"),
        (datetime, "yesterday", "expected datetime; found str"),
        (datetime, "2024-01-01T00:00:00", "expected datetime; found str"),
        (UUID, "x", "expected UUID; found str"),
        (Decimal, "one", "expected Decimal; found str"),
        (timedelta, "soon", "expected timedelta; found str"),
        (Color, "green", "expected Color; found str"),
        (list[int], "abc", r"expected list\[int\]; found str"),
        (Sequence[str], "abc", r"expected Sequence\[str\]; found str"),
        (list[int], [1, "2"], r"'value'\[1\]: expected int; found str"),
        (dict[str, list[int]], {"a": [1, None]}, r"'value'\['a'\]\[1\]: expected int; found NoneType"),
        (dict[str, int], {1: 1}, r"'value'\[<int>\]: expected str; found int"),
        (tuple[int, str], (1,), "2 items; found tuple"),
        (Point, Circle(1), "expected Point; found Circle"),
        (Point, Point3(1, 2.0, 3), "expected Point; found Point3"),
        (Point, Point("1"), "'value'.x: expected int; found str"),  # type: ignore[arg-type]
        (Point, {"y": 2.0}, "expected Point; found dict"),
        (Tree, Tree("a", children=[Tree(3)]), r"'value'.children\[0\].name: expected str; found int"),  # type: ignore[arg-type]
        (Movie, {"title": "M"}, "expected Movie with 'colors'; found dict"),
        (Movie, {"title": "M", "colors": [], "director": "L"}, "expected Movie without 'director'; found dict"),
        (Place, ("home",), "expected Place; found tuple"),
        (Address, {"street": 3}, "expected Address; found dict"),
        (Circle | Square, Point(1), r"expected Circle \| Square; found Point"),
        (int | None, "a", r"expected (int \| None|Optional\[int\]); found str"),
        (Literal["a", "b"], "c", "expected one of 'a', 'b'; found str"),
        (Literal[1], True, "expected one of 1; found bool"),
        (Path, 3, "expected Path; found int"),
        (UserId, 3.0, "expected UserId; found float"),
    ],
)
def test_an_argument_of_another_type_is_refused_at_enqueue(annotation: Any, given: Any, said: str) -> None:
    with pytest.raises(BadArguments, match=f"^job 'handler', argument .*{said}$") as refusal:
        taking(annotation).encode_call((given,), {})

    assert isinstance(refusal.value, TypeError)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("annotation", "given", "said"),
    [
        (Any, Opaque(), "'value': an object of type Opaque cannot be stored; use "),
        (Any, [{"a": Opaque()}], r"'value'\[0\]\['a'\]: an object of type Opaque"),
        (list[Any], [1, Opaque()], r"'value'\[1\]: an object of type Opaque"),
        (Any, Point(1), "'value': an object of type Point cannot be stored; .*annotate"),
        (Any, Color.RED, "'value': a member of Enum Color cannot be stored here; annotate .* Color"),
        (datetime, datetime(2024, 1, 1), "'value': a naive datetime"),
        (Box[datetime], Box(datetime(2024, 1, 1)), r"'value'\['item'\]: a naive datetime"),
        (str, "\ud800", "'value': text with lone surrogates"),
        (Tree, Tree("\ud800"), r"'value'\['name'\]: text with lone surrogates"),
        (Password, Password(text=pydantic.SecretStr("x")), "'value': a Password that does not come back equal"),
        (list[Password], [Password(text=pydantic.SecretStr("x"))], r"'value'\[0\]: a Password that does not come back"),
        (Secretive, Secretive("a", 3), "'value': an object of type Secretive cannot be stored"),
    ],
)
def test_an_argument_that_cannot_be_stored_is_named(annotation: Any, given: Any, said: str) -> None:
    with pytest.raises(NotStorable, match=f"^job 'handler', argument {said}") as refusal:
        taking(annotation).encode_call((given,), {})

    assert "\n" not in str(refusal.value)


def test_a_dataclass_that_its_own_fields_would_not_make_again_is_refused() -> None:
    odd = Even(2)
    odd.number = 3

    with pytest.raises(NotStorable, match="a Even that its own fields do not make again"):
        taking(Even).encode_call((odd,), {})


def test_a_value_within_itself_is_refused() -> None:
    tree = Tree("root")
    tree.children.append(tree)

    with pytest.raises(NotStorable, match="nested too deeply"):
        taking(Tree).encode_call((tree,), {})


async def send(ctx: Ctx, user_id: int, *, lang: str = "secret default") -> str:
    return f"{user_id} {lang}"


def every_kind(
    first: int, /, second: str, third: int = 3, *rest: Color, named: Point, other: int = 1, **extra: Size
) -> None:
    """A parameter of every kind."""


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, "a"), {"named": Point(1)}),
        ((1,), {"second": "a", "named": Point(1), "other": 2}),
        ((1, "a", 3, Color.RED, Color.BLUE), {"named": Point(1)}),
        ((1, "a"), {"named": Point(1), "more": Size.M, "first": Size.S}),
    ],
)
def test_parameters_of_every_kind_are_bound(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    definition = define(every_kind)

    assert definition.decode_call(definition.encode_call(args, kwargs)) == (args, kwargs)


@pytest.mark.parametrize(
    ("handler", "args", "kwargs", "said"),
    [
        (send, (), {}, "missing a required argument: 'user_id'"),
        (send, (1, 2), {}, "too many positional arguments"),
        (send, (1,), {"language": "en"}, "got an unexpected keyword argument 'language'"),
        (send, (1,), {"user_id": 1}, "multiple values for argument 'user_id'"),
        (send, (), {"ctx": None, "user_id": 1}, "got an unexpected keyword argument 'ctx'"),
        (every_kind, (1, "a"), {}, "missing a required( keyword-only)? argument: 'named'"),
        (
            every_kind,
            (),
            {"first": Size.S, "second": "a", "named": Point(1)},
            "('first' parameter is|missing a required).*",
        ),
        (every_kind, (1,), {"named": Point(1)}, "missing a required argument: 'second'"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_at_enqueue(
    handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadArguments, match=f"^job '{handler.__name__}' takes \\(.*\\): {said}") as refusal:
        define(handler).encode_call(args, kwargs)

    assert "secret default" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_argument_of_a_star_parameter_is_named_by_its_place() -> None:
    with pytest.raises(BadArguments, match=r"argument 'rest\[1\]': expected Color; found int"):
        define(every_kind).encode_call((1, "a", 3, Color.RED, 7), {"named": Point(1)})


def test_arguments_of_256_kib_pass_and_a_byte_more_does_not() -> None:
    definition = taking(str)
    room = 262_144 - len(definition.encode_call(("x" * 70_000,), {})) + 70_000

    payload = definition.encode_call(("x" * room,), {})

    assert len(payload) == 262_144
    assert definition.decode_call(payload) == (("x" * room,), {})
    with pytest.raises(PayloadTooLarge, match=r"^job 'handler': arguments of 262,145 bytes, the limit is 262,144; "):
        definition.encode_call(("x" * (room + 1),), {})
    with pytest.raises(PayloadTooLarge, match="limit is 262,144"):
        encode_anonymous("handler", (["x" * 1000] * 300,), {})


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "0 bytes that cannot be decoded"),
        (b"\x92\x91\x01", "end too early"),
        (encode(3), "no call"),
        (encode([[1]]), "no call"),
        (encode([[1], []]), "no call"),
        (encode([[1], {1: 2}]), "no call"),
        (encode([(1,), {}]), "no call"),
        (encode([["1"], {}]), "do not fit: job 'send', argument 'user_id': expected int; found str"),
        (encode([[], {}]), "do not fit: job 'send' takes .*: missing a required argument"),
        (encode([[1, 2], {}]), "do not fit: job 'send' takes .*: too many"),
        (encode([[1], {"lang": None}]), "do not fit: job 'send', argument 'lang': expected str"),
        (b"\x92\x91\x01\x82\xa4lang\xa1a\xa4lang\xa1b", "a key stands twice"),
        (b"\x92\x91\xd4\x63\x01\x80", "unknown extension"),
        (b"\xc6" + (300_000).to_bytes(4, "big") + bytes(300_000), "at most 262144"),
        (encode([[{"a": [1] * 10}] * 3_000, {}]) + b"\x00", "more bytes"),
    ],
)
def test_a_payload_that_does_not_fit_is_undecodable(payload: bytes, said: str) -> None:
    with pytest.raises(Undecodable, match=said):
        define(send).decode_call(payload)


def test_arguments_can_be_asked_for_by_name() -> None:
    definition = define(send)

    assert definition.arguments(definition.encode_call((42,), {"lang": "en"})) == {"user_id": 42, "lang": "en"}


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str | Snooze, "text"),
        (Color | Snooze | RetryAfter | None, Color.RED),
        (Cancel | Discard | Point, Point(1)),
        (Optional[Snooze], None),  # noqa: UP045
        (Snooze, {"a": 1}),
    ],
)
def test_a_result_is_restored_without_regard_to_the_handlers_answers(annotation: Any, value: Any) -> None:
    definition = taking(annotation)

    assert definition.decode_result(definition.encode_result(value)) == value


def test_a_result_that_the_annotation_does_not_name_is_kept_as_it_is() -> None:
    definition = taking(Point)

    assert definition.decode_result(definition.encode_result([1, "a"])) == [1, "a"]
    assert definition.decode_result(encode({"unknown": 1})) == {"unknown": 1}


def test_a_result_of_1_mib_passes_and_a_byte_more_does_not() -> None:
    definition = taking(str)

    assert len(definition.encode_result("x" * (1_048_576 - 5))) == 1_048_576
    with pytest.raises(ResultTooLarge, match=r"^job 'handler': a result of 1,048,577 bytes, the limit is 1,048,576; "):
        definition.encode_result("x" * (1_048_576 - 4))


@pytest.mark.parametrize("value", [Opaque(), [Opaque()], "\ud800", datetime(2024, 1, 1), Point(1)], ids=repr)
def test_a_result_that_cannot_be_stored_is_refused(value: object) -> None:
    with pytest.raises(ResultNotStorable, match=r"^job 'handler', result.*: "):
        taking(str).encode_result(value)


def test_a_damaged_result_is_undecodable() -> None:
    with pytest.raises(Undecodable):
        taking(str).decode_result(b"\xc1")


def test_a_producer_without_the_handler_stores_classes_as_their_fields() -> None:
    payload = encode_anonymous(
        "grow", (TREE, Address(street="A", since=NOON)), {"path": Path("a"), "by": {Color.RED: Size.M}}
    )

    def grow(tree: Tree, address: Address, *, path: Path, by: dict[Color, Size]) -> None: ...

    assert define(grow, localns=globals()).decode_call(payload) == (
        (TREE, Address(street="A", since=NOON)),
        {"path": Path("a"), "by": {Color.RED: Size.M}},
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((1, [Opaque()]), {}, r"^job 'grow', argument '1'\[0\]: an object of type Opaque"),
        ((), {"by": Opaque()}, "^job 'grow', argument 'by': an object of type Opaque"),
        ((("a\ud800",),), {}, r"^job 'grow', argument '0'\[0\]: text with lone surrogates"),
    ],
)
def test_a_producer_without_the_handler_is_told_what_cannot_be_stored(
    args: tuple[Any, ...], kwargs: dict[str, Any], said: str
) -> None:
    with pytest.raises(NotStorable, match=said):
        encode_anonymous("grow", args, kwargs)


# What a handler is


def plain(value: int) -> int:
    return value


def with_ctx_by_name(ctx, value: int) -> None:  # type: ignore[no-untyped-def]
    """Not annotated."""


def with_ctx_by_text(context: Ctx, value: int) -> None:
    """Annotated, under another name."""


def with_ctx_unresolved(ctx: Unseen, value: int) -> None:
    """Named ctx, but annotated as something else that cannot be seen."""


def with_ctx_any(ctx: Any, value: int) -> None:
    """Annotated as anything."""


def with_ctx_as_value(ctx: int) -> None:
    """Named ctx, but a value."""


def with_ctx_later(value: int, ctx: int = 0) -> None:
    """Not the first."""


def with_ctx_by_keyword(*, ctx: int = 0) -> None:
    """Not positional."""


class Service:
    async def method(self, ctx: Ctx, value: int) -> None: ...

    async def __call__(self, ctx: Ctx, value: int) -> None: ...


@functools.wraps(send)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return send(*args, **kwargs)


@pytest.mark.parametrize(
    ("handler", "kind", "wants_ctx"),
    [
        (send, "async", True),
        (plain, "thread", False),
        (with_ctx_by_name, "thread", True),
        (with_ctx_by_text, "thread", True),
        (with_ctx_unresolved, "thread", False),
        (with_ctx_any, "thread", True),
        (with_ctx_as_value, "thread", False),
        (with_ctx_later, "thread", False),
        (with_ctx_by_keyword, "thread", False),
        (lambda ctx: None, "thread", True),
        (Service().method, "async", True),
        (Service(), "async", True),
        (functools.partial(send, lang="en"), "async", True),
        (wrapped, "thread", True),
    ],
)
def test_kind_and_context_are_read_from_the_handler(handler: Callable[..., Any], kind: str, wants_ctx: bool) -> None:
    definition = define(handler, name="job")

    assert (definition.kind, definition.wants_ctx) == (kind, wants_ctx)


def test_a_context_known_to_type_checkers_only_is_known_by_its_name() -> None:
    def handler(context: elsewhere.Ctx, value: int) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert define(handler).wants_ctx


def test_a_plain_function_may_run_in_a_process() -> None:
    definition = define(plain, process=True)

    assert definition.kind == "process"
    assert definition.problems() == []
    assert import_function(definition.handler().reference) is plain


def generating(value: int) -> Iterator[int]:
    yield value


async def generating_later(value: int) -> AsyncIterator[int]:
    yield value


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        (generating, {}, "a generator cannot be a handler"),
        (generating_later, {}, "a generator cannot be a handler"),
        (Point, {}, "expected a function; found a class"),
        (3, {"name": "job"}, "expected a function; found int"),
        (send, {"process": True}, "process=True expects a plain def; found async def"),
        (lambda: None, {}, "without a name of its own.*give name="),
        (functools.partial(plain, 1), {}, "without a name of its own.*give name="),
        ("no colon", {}, 'expected a function or "package.module:function"'),
        ("package.module:", {}, 'expected a function or "package.module:function"'),
        (":function", {}, 'expected a function or "package.module:function"'),
        (plain, {"timeout": 0}, "timeout: expected more than zero"),
        (plain, {"timeout": -1}, "timeout: expected zero or more"),
        (plain, {"timeout": "1 minute"}, "timeout: expected seconds"),
        (plain, {"priority": 4}, r"priority: expected 0 \(urgent\) to 3 \(low\); found 4"),
        (plain, {"priority": True}, "priority: expected 0"),
        (plain, {"priority": "high"}, "priority: expected 0"),
        (plain, {"retry": 3}, "retry: expected a Retry; found int"),
        (plain, {"name": ""}, "job name: expected 1 to 128 characters"),
        (plain, {"queue": "a b"}, "queue name 'a b': expected no"),
    ],
)
def test_a_definition_that_cannot_work_is_refused_on_one_line(target: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as refusal:
        define(target, **options)

    assert type(refusal.value).__module__.startswith("callboard.")
    assert "\n" not in str(refusal.value)


def test_a_definition_has_the_defaults_of_the_house() -> None:
    definition = define(send)

    assert (definition.name, definition.queue, definition.priority, definition.timeout_s) == (
        "send",
        "default",
        2,
        None,
    )
    assert definition.retry == Retry()


@pytest.mark.parametrize("validate", [validate_name, validate_queue])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "expected 1 to 128 characters; found none"),
        ("callboard.prune", "reserved"),
        ("_private", "reserved"),
        ("x" * 129, "at most 128 characters; found 129"),
        ("a b", "no blanks"),
        (" a", "no blanks"),
        ("a\n", "no blanks"),
        ("a\x00", "no control characters"),
        ("a\u200b", "no control characters"),
        ("\ud800", "no control characters"),
        ("a/b", 'no "/"'),
        (3, "expected text; found int"),
        (None, "expected text; found NoneType"),
    ],
)
def test_a_name_that_may_not_be_is_refused_on_one_line(validate: Callable[[Any], str], name: Any, said: str) -> None:
    with pytest.raises(InvalidName, match=said) as refusal:
        validate(name)

    assert "\n" not in str(refusal.value)
    str(refusal.value).encode()


@pytest.mark.parametrize("name", ["send", "mail.send", "mail:send-2", "correio_é", "callboardish", "x" * 128])
def test_a_fair_name_is_taken(name: str) -> None:
    assert validate_name(name) == validate_queue(name) == name


# Handlers that are imported when first run


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Writes a module that can be imported for the length of a test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_handler_given_as_text_is_imported_when_first_run(module: Callable[[str, str], None]) -> None:
    module("lazy_mail", "async def send(ctx, user_id: int): ...")
    definition = define("lazy_mail:send")

    payload = definition.encode_call((42,), {})
    assert "lazy_mail" not in sys.modules
    restored = definition.decode_call(payload)

    assert "lazy_mail" in sys.modules
    assert (definition.name, definition.kind, definition.wants_ctx) == ("send", "async", True)
    assert restored == ((42,), {})


def test_once_imported_its_signature_holds_at_enqueue(module: Callable[[str, str], None]) -> None:
    module("lazy_mail", "def send(user_id: int): ...")
    definition = define("lazy_mail:send")

    too_early = definition.encode_call(("42",), {})
    assert definition.problems() == []

    with pytest.raises(BadArguments, match="expected int; found str"):
        definition.encode_call(("42",), {})
    with pytest.raises(Undecodable, match="expected int; found str"):
        definition.decode_call(too_early)


def test_what_needs_no_signature_is_checked_before_the_import() -> None:
    definition = define("lazy_nowhere:send")

    with pytest.raises(NotStorable, match="argument '0': an object of type Opaque"):
        definition.encode_call((Opaque(),), {})
    with pytest.raises(PayloadTooLarge):
        definition.encode_call(("x" * 262_144,), {})


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("", "lazy_nowhere:send", "cannot import 'lazy_nowhere' .ModuleNotFoundError: No module named 'lazy_nowhere'"),
        ("raise RuntimeError('two\\nlines')", "lazy_mail:send", "cannot import 'lazy_mail' .RuntimeError: two lines"),
        ("raise SystemExit(3)", "lazy_mail:send", "cannot import 'lazy_mail' .SystemExit: 3"),
        ("def (", "lazy_mail:send", "cannot import 'lazy_mail' .SyntaxError"),
        ("", "lazy_mail:send", "module 'lazy_mail' has no 'send'; check the name after the colon"),
        ("class A: pass", "lazy_mail:A.send", "module 'lazy_mail' has no 'A.send'"),
        ("send = 3", "lazy_mail:send", "'lazy_mail:send' is no function but int"),
    ],
)
def test_a_handler_that_cannot_be_imported_is_a_problem_on_one_line(
    module: Callable[[str, str], None], source: str, target: str, said: str
) -> None:
    module("lazy_mail", source)
    definition = define(target)

    with pytest.raises(HandlerNotFound, match=f"^job 'send': {said}") as refusal:
        definition.handler()

    assert definition.problems() == [str(refusal.value)]
    assert "\n" not in str(refusal.value)


def test_a_handler_that_is_none_is_a_problem(module: Callable[[str, str], None]) -> None:
    module("lazy_mail", "def send():\n    yield 1")

    assert define("lazy_mail:send").problems() == [
        "handler send: a generator cannot be a handler; return a value instead"
    ]


def test_the_function_behind_a_job_is_found(module: Callable[[str, str], None]) -> None:
    module("lazy_mail", "class Job: pass\ndef send(): ...\nfunction = send\nsend = Job()\nsend.fn = function")

    assert import_function("lazy_mail:send") is sys.modules["lazy_mail"].function


# What `callboard check` says


def unstorable(opaque: Opaque, call: Callable[[], None], nested: list[dict[str, Opaque]]) -> Opaque:
    return opaque


def unresolved(value: Unseen) -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821


def with_init_var(value: Secretive) -> None: ...


def with_protocol(value: Sized) -> None: ...


class Odd(Enum):
    IT = Opaque()


def with_odd_enum(value: Odd) -> None: ...


@pytest.mark.parametrize(
    ("handler", "options", "said"),
    [
        (send, {}, []),
        (with_protocol, {}, []),
        (
            unstorable,
            {},
            [
                "parameter 'opaque': Opaque cannot be stored: use a dataclass",
                "parameter 'call': Callable.* cannot be stored",
                "parameter 'nested': Opaque cannot be stored",
                "result: Opaque cannot be stored",
            ],
        ),
        (
            unresolved,
            {},
            [
                "parameter 'value': its annotation cannot be resolved .NameError: name 'Unseen' is not defined",
                "result: its annotation cannot be resolved .NameError: name 'Nowhere' is not defined",
            ],
        ),
        (
            with_init_var,
            {},
            ["parameter 'value': Secretive cannot be stored: its constructor and its fields differ in secret"],
        ),
        (with_odd_enum, {}, ["parameter 'value': Odd.IT has a value of type Opaque"]),
    ],
)
def test_problems_name_what_cannot_work(handler: Callable[..., Any], options: dict[str, Any], said: list[str]) -> None:
    problems = define(handler, **options).problems()

    assert len(problems) == len(said)
    for problem, expected in zip(problems, said, strict=True):
        assert re.match(f"job '{handler.__name__}', {expected}", problem), problem
        assert "\n" not in problem


def test_a_process_needs_a_function_that_can_be_imported() -> None:
    def nested() -> None: ...

    problems = define(nested, process=True).problems() + define(lambda: None, name="job", process=True).problems()

    assert len(problems) == 2
    for problem in problems:
        assert "process=True needs a function that can be imported; " in problem


def test_a_class_may_follow_its_handler() -> None:
    definition = define(before_its_class)

    assert definition.problems() == []
    assert definition.decode_call(definition.encode_call((Latecomer(1),), {})) == ((Latecomer(1),), {})


def before_its_class(value: Latecomer) -> None: ...


@dataclass
class Latecomer:
    x: int


def test_local_classes_are_found_where_the_definition_says() -> None:
    @dataclass
    class Local:
        x: int

    def handler(value: Local) -> None: ...

    definition = define(handler, localns=locals())

    assert definition.decode_call(definition.encode_call((Local(1),), {})) == ((Local(1),), {})
    assert define(handler).problems() != []
