"""Job ids: 128 bits, time-ordered, made by the client (UUIDv7 layout, RFC 9562 §5.7).

Inside the runtime and the stores an id is 16 bytes; `format_id` and `parse_id` stand at the edge.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from struct import Struct

from ..kernel.clock import Clock
from ..kernel.errors import CallboardError

_ID = Struct(">QQ")
_POOL = Struct(">1000Q")
_VERSION = 0x7000
_VARIANT = 0x8000_0000_0000_0000
_RANDOM = 0x3FFF_FFFF_FFFF_FFFF


class InvalidId(CallboardError, ValueError):
    """A text that is no job id was given where one was expected."""

    def __init__(self, text: object) -> None:
        super().__init__(f"{text!r} is no job id: expected 32 hexadecimal digits, as `callboard jobs list` prints them")


class IdFactory:
    """Makes ids that grow strictly within this factory, also when the wall clock goes back.

    `entropy(n)` gives n random bytes; a simulation passes its seeded generator.
    """

    def __init__(self, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        self._wall_ms = clock.wall_reader()
        self._entropy = entropy
        self._last = 0  # milliseconds << 12 | counter: the 60 bits that order ids
        self._tails: list[int] = []  # the other half of ids to come; made in pools, which costs half

    def new_id(self) -> bytes:
        """A fresh id, greater than every id that this factory gave before."""
        stamp = self._wall_ms() << 12
        if stamp <= self._last:
            stamp = self._last + 1
        self._last = stamp
        if not self._tails:
            self._fill()
        return _ID.pack((stamp & ~0xFFF) << 4 | _VERSION | stamp & 0xFFF, self._tails.pop())

    def new_ids(self, count: int) -> list[bytes]:
        """So many of them, in order; for many at once a third of the price."""
        if count <= 1:
            return [self.new_id()] * count
        stamp = max(self._wall_ms() << 12, self._last + 1)
        self._last = stamp + count - 1
        while len(self._tails) < count:
            self._fill()
        tails = self._tails[-count:]
        del self._tails[-count:]
        pack = _ID.pack
        return [
            pack((head & ~0xFFF) << 4 | _VERSION | head & 0xFFF, tail)
            for head, tail in zip(range(stamp, stamp + count), tails, strict=True)
        ]

    def _fill(self) -> None:
        self._tails += [tail & _RANDOM | _VARIANT for tail in _POOL.unpack(self._entropy(_POOL.size))]


def format_id(job_id: bytes) -> str:
    """The one text form: lower-case, with hyphens."""
    digits = job_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def parse_id(text: str) -> bytes:
    """The 16 bytes of an id in text; upper case and missing hyphens are taken too. Raises `InvalidId`."""
    try:
        return uuid.UUID(text).bytes
    except (ValueError, AttributeError, TypeError):
        raise InvalidId(text) from None
