"""Shapes of classes with fields or members: Enum, dataclass, NamedTuple, TypedDict, pydantic models, and Literal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from ..kernel.codec import NotStorable
from .shape import Misfit, Shape


def enumeration(shape: Shape, cls: type[Enum]) -> None:
    """Stored as the member's value."""
    shape.wire = frozenset(type(member.value) for member in cls)

    def lower(value: Any) -> Any:
        if isinstance(value, cls):
            return value.value
        raise Misfit(shape.name, value)

    def restore(value: Any) -> Any:
        try:
            return cls(value)
        except Exception:  # a `_missing_` of its own can raise anything
            raise Misfit(f"a value of {shape.name}", value) from None

    shape.lower, shape.restore = lower, restore


def literal(shape: Shape, choices: tuple[Any, ...]) -> None:
    """`Literal["a", 1]`: one of the choices, an Enum member by its value."""
    plain = {choice: choice.value if isinstance(choice, Enum) else choice for choice in choices}
    by_stored = {(type(stored), stored): choice for choice, stored in plain.items()}
    by_choice = {(type(choice), choice): stored for choice, stored in plain.items()}
    shape.wire = frozenset(kind for kind, _ in by_stored)
    expected = f"one of {', '.join(map(repr, choices))}"

    def lower(value: Any) -> Any:
        try:
            return by_choice[type(value), value]
        except (KeyError, TypeError):
            raise Misfit(expected, value) from None

    def restore(value: Any) -> Any:
        try:
            return by_stored[type(value), value]
        except (KeyError, TypeError):
            raise Misfit(expected, value) from None

    shape.lower, shape.restore = lower, restore


def dataclass(shape: Shape, cls: type, fields: Mapping[str, Shape]) -> None:
    """Stored as a dict of the fields that its constructor takes; a field with a default may be missing."""
    optional = {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    }

    is_choosy = hasattr(cls, "__post_init__")  # may refuse or change what it is given

    def lower(value: Any) -> Any:
        if type(value) is not cls:  # a subclass would lose what it adds
            raise Misfit(shape.name, value)
        missing = object()
        lowered = {name: _inside(name, field.lower, getattr(value, name, missing)) for name, field in fields.items()}
        if is_choosy:
            check(lowered)
        return lowered

    def check(lowered: dict[str, Any]) -> None:
        try:
            restore(lowered)
        except Misfit as misfit:
            raise NotStorable(f"a {shape.name} that its own fields do not make again ({misfit})") from None

    def restore(value: Any) -> Any:
        return _construct(shape, cls, _restored_fields(shape, fields, fields.keys() - optional, value))

    shape.lower, shape.restore = lower, restore


def typed_dict(shape: Shape, fields: Mapping[str, Shape], required: frozenset[str]) -> None:
    """Stored as a dict; keys it does not name are refused."""

    def lower(value: Any) -> Any:
        _check_keys(shape, fields, required, value)
        return {name: _inside(name, fields[name].lower, item) for name, item in value.items()}

    def restore(value: Any) -> Any:
        return _restored_fields(shape, fields, required, value)

    shape.lower, shape.restore = lower, restore


def named_tuple(shape: Shape, cls: Any, fields: Mapping[str, Shape]) -> None:
    """Stored as a tuple; from JSON as a list or a dict."""
    required = frozenset(fields.keys() - cls._field_defaults.keys())

    def lower(value: Any) -> Any:
        if type(value) is not cls:
            raise Misfit(shape.name, value)
        return tuple(
            _inside(name, field.lower, item) for (name, field), item in zip(fields.items(), value, strict=True)
        )

    def restore(value: Any) -> Any:
        if type(value) in (tuple, list):
            if len(value) > len(fields):
                raise Misfit(f"{shape.name}, at most {len(fields)} fields", value)
            value = dict(zip(fields, value, strict=False))
        return _construct(shape, cls, _restored_fields(shape, fields, required, value))

    shape.lower, shape.restore = lower, restore


def pydantic_model(shape: Shape, cls: Any) -> None:
    """Stored as the model's JSON form, restored by validating it.

    A model that does not come back equal is refused when it is stored: one with a SecretStr, say, whose JSON form is
    asterisks.
    """

    def lower(value: Any) -> Any:
        if type(value) is not cls:
            raise Misfit(shape.name, value)
        try:
            lowered = value.model_dump(mode="json", by_alias=True, round_trip=True)
            if restore(lowered) == value:
                return lowered
        except Exception:  # its serializers can raise anything; said below
            pass
        raise NotStorable(
            f"a {shape.name} that does not come back equal from its JSON form; "
            "check for secret fields, one-way serializers and NaN"
        )

    def restore(value: Any) -> Any:
        try:
            return cls.model_validate(value)
        except Exception:  # its validators can raise anything
            pass
        try:  # a strict model takes text for a datetime from JSON only
            return cls.model_validate_json(json.dumps(value))
        except Exception:
            raise Misfit(f"a valid {shape.name}", value) from None

    shape.lower, shape.restore = lower, restore


def _restored_fields(shape: Shape, fields: Mapping[str, Shape], required: Any, value: Any) -> dict[str, Any]:
    _check_keys(shape, fields, required, value)
    return {name: _inside(name, fields[name].restore, item) for name, item in value.items()}


def _check_keys(shape: Shape, fields: Mapping[str, Shape], required: Any, value: Any) -> None:
    if not isinstance(value, dict):
        raise Misfit(shape.name, value)
    if missing := required - value.keys():
        raise Misfit(f"{shape.name} with {_listed(missing)}", value)
    if unknown := value.keys() - fields.keys():
        raise Misfit(f"{shape.name} without {_listed(unknown)}", value)


def _listed(names: Any) -> str:
    return ", ".join(sorted(ascii(str(name)[:40]) for name in names))


def _inside(name: str, convert: Any, value: Any) -> Any:
    try:
        return convert(value)
    except (Misfit, NotStorable) as error:
        raise error.inside(f".{name}") from None


def _construct(shape: Shape, cls: Any, fields: dict[str, Any]) -> Any:
    try:
        return cls(**fields)
    except Exception as error:  # its __post_init__ has the last word
        raise Misfit(f"a valid {shape.name} ({type(error).__name__})", fields) from None
