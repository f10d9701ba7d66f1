"""Control messages: what an operator, or another node, asks of one node. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Control(NamedTuple):
    """A request to the node with that boot id. It waits in the store until the node takes it and answers."""

    id: bytes  # 16 bytes, made by the sender; sent again under the same id it is the same request
    boot_id: bytes
    verb: str
    body: bytes = b""  # encoded
    asked_at: int = 0  # wall milliseconds of the sender


class ControlAnswer(NamedTuple):
    """What a node answered."""

    id: bytes
    body: bytes  # encoded
