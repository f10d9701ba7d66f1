"""Shapes of containers and unions, built from the shapes of what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..kernel.codec import NotStorable
from .shape import Convert, Misfit, Shape


def sequence(kind: Callable[[Any], Any], accepts: tuple[type[Iterable[Any]], ...], item: Shape, name: str) -> Shape:
    """list, set, frozenset, or a tuple of any length: `kind` on both sides, `item` for each."""
    shape = Shape(name)
    assert isinstance(kind, type)
    shape.wire = frozenset({kind})
    sources = (list, tuple, set, frozenset)

    def lower(value: Any) -> Any:
        if not isinstance(value, accepts):
            raise Misfit(name, value)
        if item.same.issuperset(map(type, value)):
            return value if type(value) is kind else kind(value)
        return kind(_each(item.lower, value))

    def restore(value: Any) -> Any:
        if type(value) not in sources:
            raise Misfit(name, value)
        if item.same.issuperset(map(type, value)):
            return value if type(value) is kind else _build(kind, value, name)
        return _build(kind, _each(item.restore, value), name)

    shape.lower, shape.restore = lower, restore
    return shape


def fixed_tuple(items: tuple[Shape, ...], name: str) -> Shape:
    """`tuple[int, str]`: as many items as named, each with its own shape."""
    shape = Shape(name)
    shape.wire = frozenset({tuple})

    def convert(value: Any, ways: tuple[Convert, ...]) -> Any:
        if len(value) != len(items):
            raise Misfit(f"{name}, {len(items)} items", value)
        return tuple(_each_way(ways, value))

    def lower(value: Any) -> Any:
        if not isinstance(value, tuple):
            raise Misfit(name, value)
        return convert(value, tuple(item.lower for item in items))

    def restore(value: Any) -> Any:
        if type(value) not in (tuple, list):
            raise Misfit(name, value)
        return convert(value, tuple(item.restore for item in items))

    shape.lower, shape.restore = lower, restore
    return shape


def mapping(kind: Callable[[dict[Any, Any]], Any], key: Shape, item: Shape, name: str) -> Shape:
    """`dict[K, V]` and its kin; `kind` makes what the handler gets."""
    shape = Shape(name)
    shape.wire = frozenset({dict})

    def lower(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise Misfit(name, value)
        return _pairs(key.lower, item.lower, value)

    def restore(value: Any) -> Any:
        if type(value) is not dict:
            raise Misfit(name, value)
        if key.same.issuperset(map(type, value)) and item.same.issuperset(map(type, value.values())):
            return kind(value)
        return kind(_pairs(key.restore, item.restore, value))

    shape.lower, shape.restore = lower, restore
    return shape


def union(members: list[Shape], name: str) -> Shape:
    """`A | B`. Where two members are stored as the same type, what is stored carries the name of its member.

    The mark is a tuple (name, value); so `Circle | Square` comes back as what it was, and `Circle | None` stays bare.
    """
    ordered = sorted(members, key=_doubt)
    if _overlap(members):
        return _marked_union(ordered, name)
    shape = Shape(name)
    shape.same = frozenset().union(*(member.same for member in members))
    shape.wire = frozenset().union(*(member.wire or frozenset() for member in members))
    if any(member.wire is None for member in members):
        shape.wire = None
    by_wire = {kind: member for member in members for kind in member.wire or ()}

    def lower(value: Any) -> Any:
        return value if type(value) in shape.same else _first(ordered, "lower", value, name)

    def restore(value: Any) -> Any:
        if type(value) in shape.same:
            return value
        if (member := by_wire.get(type(value))) is not None:
            try:
                return member.restore(value)
            except Misfit:
                if len(members) == 1 or type(value) is dict:
                    raise
        return _first(ordered, "restore", value, name)

    shape.lower, shape.restore = lower, restore
    return shape


def _marked_union(ordered: list[Shape], name: str) -> Shape:
    shape = Shape(name)
    shape.wire = frozenset({tuple}).union(*(member.wire or () for member in ordered if member.is_transparent))
    shape.same = frozenset().union(*(member.same for member in ordered if member.is_transparent)) - {tuple}
    marks = {mark: member for member, mark in zip(ordered, _marks(ordered), strict=True)}

    def lower(value: Any) -> Any:
        if type(value) in shape.same:
            return value
        for mark, member in marks.items():
            try:
                lowered = member.lower(value)
            except Misfit:
                continue
            return lowered if member.is_transparent else (mark, lowered)
        raise Misfit(name, value)

    def restore(value: Any) -> Any:
        if type(value) in shape.same:
            return value
        if type(value) is tuple and len(value) == 2 and type(value[0]) is str and value[0] in marks:
            return marks[value[0]].restore(value[1])
        return _first(ordered, "restore", value, name)  # from JSON, which carries no mark

    shape.lower, shape.restore = lower, restore
    return shape


def _overlap(members: list[Shape]) -> bool:
    """Whether what is stored can leave open which member it was. Transparent members may share types."""
    opaque = [member for member in members if not member.is_transparent]
    if not opaque or len(members) == 1:
        return False
    taken = set().union(*(member.wire or () for member in members if member.is_transparent))
    for member in opaque:
        if member.wire is None or not taken.isdisjoint(member.wire):
            return True
        taken |= member.wire
    return False


def _doubt(member: Shape) -> int:
    """Members in the order to try them: those that look closest first, `Any` last."""
    if member.wire is None and member.same:
        return 2
    return 1 if member.is_transparent else 0


def _marks(members: list[Shape]) -> Iterable[str]:
    """The members' names; a second one of the same name gets a number."""
    seen: dict[str, int] = {}
    for member in members:
        count = seen[member.name] = seen.get(member.name, 0) + 1
        yield member.name if count == 1 else f"{member.name}#{count}"


def _first(members: list[Shape], way: str, value: Any, name: str) -> Any:
    for member in members:
        try:
            return getattr(member, way)(value)
        except Misfit:
            continue
    raise Misfit(name, value)


def _each(convert: Convert, values: Iterable[Any]) -> list[Any]:
    items: list[Any] = []
    try:
        for value in values:
            items.append(convert(value))
    except (Misfit, NotStorable) as error:
        raise error.inside(f"[{len(items)}]") from None
    return items


def _each_way(ways: tuple[Convert, ...], values: Iterable[Any]) -> list[Any]:
    items: list[Any] = []
    try:
        for convert, value in zip(ways, values, strict=True):
            items.append(convert(value))
    except (Misfit, NotStorable) as error:
        raise error.inside(f"[{len(items)}]") from None
    return items


def _pairs(convert_key: Convert, convert: Convert, values: Mapping[Any, Any]) -> dict[Any, Any]:
    items: dict[Any, Any] = {}
    for key, value in values.items():
        step = f"[{ascii(key[:40]) if isinstance(key, str) else '<' + type(key).__name__ + '>'}]"
        try:
            items[convert_key(key)] = convert(value)
        except (Misfit, NotStorable) as error:
            raise error.inside(step) from None
        except TypeError:
            raise Misfit("a key that can be hashed", key, step) from None
    return items


def _build(kind: Callable[[Any], Any], values: Any, name: str) -> Any:
    try:
        return kind(values)
    except TypeError:  # a member that cannot be hashed
        raise Misfit(name, values) from None
