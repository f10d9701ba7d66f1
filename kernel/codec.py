"""Values <-> bytes: msgpack with a few extension types, strict in both directions.

Stored as they are: None, bool, int up to 64 bits, float, str, bytes, list, and dict with string keys. As extension
types: longer int, tuple, set, frozenset, dict with other keys, datetime (aware), date, time, timedelta, UUID, Decimal.
A value of a subclass is stored as its plain base (an OrderedDict comes back as a dict), except an Enum member, which
only its annotation can bring back. Nothing else is stored; annotated classes are turned into these by the caller.

    code  type              content
    1     int               big-endian two's complement
    2     tuple             a msgpack array
    3, 4  set, frozenset    likewise, in the order of the packed members, so that equal sets give equal bytes
    5     dict              array of key, value, key, value, ...: where some key is not a string
    6-8   datetime, date,   ISO 8601; a datetime keeps its offset, not the name of its zone
          time
    9     timedelta         days, seconds, microseconds as >iII
    10    UUID              16 bytes
    11    Decimal           its text
    -1    datetime          msgpack's own timestamp, read but never written

Codes are never given a second meaning, since stored jobs outlive the code that wrote them. NaN and the infinities are
floats like any other and come back as such. A naive datetime is refused: nobody could say which instant it was.

The decoder trusts nothing: size, depth and lengths are bounded, and whatever is malformed, truncated, followed by more
bytes, of an unknown code, doubled as a key, or no UTF-8 text, is `Undecodable`, the only error it raises.
"""

from __future__ import annotations

from .codec_read import MAX_BYTES, Undecodable, decode, peek
from .codec_write import MAX_DEPTH, SCALARS, NotStorable, Packable, check_text, encode, pack, pack_scalars, plain

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "SCALARS",
    "NotStorable",
    "Packable",
    "Undecodable",
    "check_text",
    "decode",
    "encode",
    "pack",
    "pack_scalars",
    "peek",
    "plain",
]
