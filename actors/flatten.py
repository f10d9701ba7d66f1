"""Classes as plain data, for a caller who has no signature to go by."""

from __future__ import annotations

import dataclasses
from enum import Enum
from pathlib import PurePath
from typing import Any

from ..kernel.codec import MAX_DEPTH, NotStorable


def flatten(value: Any, depth: int = MAX_DEPTH) -> Any:
    """`value` with each dataclass as a dict, Enum member as its value, pydantic model in its JSON form, path as text.

    What is neither these nor plain is left as it is, for the codec to refuse.
    """
    if depth <= 0:
        return value  # the codec refuses it, and says where
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return {name: flatten(getattr(value, name), depth - 1) for name in names}
    if hasattr(type(value), "__pydantic_validator__") and hasattr(value, "model_dump"):
        return _of_model(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, dict):
        return {flatten(key, depth - 1): flatten(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [flatten(item, depth - 1) for item in value]
        base = next(base for base in (list, tuple, set, frozenset) if isinstance(value, base))
        return items if base is list else base(items)
    return value


def _of_model(model: Any) -> Any:
    try:
        return model.model_dump(mode="json", by_alias=True, round_trip=True)
    except ValueError as error:
        raise NotStorable(f"a {type(model).__name__} that has no JSON form ({type(error).__name__})") from None
