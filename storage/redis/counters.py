"""The counters of all queues, as they are kept in one hash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..job import JobState


def counted(fields: Mapping[bytes, bytes] | list[bytes]) -> dict[str, list[int]]:
    """By queue, jobs per state code. A field is `<state code>:<queue>`."""
    found: dict[str, list[int]] = {}
    pairs: Iterable[tuple[bytes, bytes]]
    pairs = fields.items() if isinstance(fields, Mapping) else zip(fields[::2], fields[1::2], strict=True)
    for name, number in pairs:
        code, _, queue = name.partition(b":")
        found.setdefault(queue.decode(), [0] * len(JobState))[int(code)] = int(number)
    return found
