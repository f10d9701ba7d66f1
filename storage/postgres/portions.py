"""How many rows a statement takes at once while the server ends statements for the time that they take.

Somebody has set `statement_timeout`, and a trigger or a full disk cache makes rows slow: then half as many are asked
for, and half of those, until a statement comes through; a portion that came through may double.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from ..errors import Unavailable
from ..records import ClaimReply, ClaimRequest
from .refusals import TooSlow

T = TypeVar("T")
Claim = Callable[[Sequence[ClaimRequest]], Awaitable[list[ClaimReply]]]

MOST = 1 << 20


class Portion:
    """Of one kind of statement, on one handle."""

    def __init__(self) -> None:
        self.most = MOST

    async def take(self, wanted: int, call: Callable[[int], Awaitable[T]]) -> tuple[T, int]:
        """What `call` gives for at most `wanted` rows, and for how many that was.

        Raises `TooSlow` when a single row takes too long.
        """
        while True:
            asked = min(wanted, self.most)
            try:
                taken = await call(asked)
            except TooSlow:
                if asked <= 1:
                    raise
                self.most = asked // 2
            else:
                if asked == self.most:
                    self.most = min(self.most * 2, MOST)
                return taken, asked


async def claim_in_portions(portion: Portion, requests: Sequence[ClaimRequest], claim: Claim) -> list[ClaimReply]:
    """All that was asked for, in as many statements as it takes; as a rule in one."""
    gathered: list[ClaimReply] = []
    left = list(requests)
    while True:
        try:
            replies, most = await portion.take(_largest(left), partial(_claim_at_most, claim, left))
        except Unavailable:
            if not gathered:
                raise
            return gathered  # what was claimed before is leased, and goes out
        gathered = [_joined(*both) for both in zip(gathered, replies, strict=True)] if gathered else replies
        # Where a portion came back full, there may be more; where it did not, there is none.
        left = [
            ClaimRequest(queue, limit - most if len(reply.jobs) == most < limit else 0)
            for (queue, limit), reply in zip(left, replies, strict=True)
        ]
        if not _largest(left):
            return gathered


def _claim_at_most(claim: Claim, left: Sequence[ClaimRequest], most: int) -> Awaitable[list[ClaimReply]]:
    return claim([ClaimRequest(queue, min(limit, most)) for queue, limit in left])


def _largest(requests: Sequence[ClaimRequest]) -> int:
    return max((limit for _, limit in requests), default=0)


def _joined(first: ClaimReply, then: ClaimReply) -> ClaimReply:
    return ClaimReply(first.jobs + then.jobs, then.next_run_at, then.is_paused)
