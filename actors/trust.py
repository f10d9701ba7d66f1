"""What a node may rely on: its own leases, the expiry of others' leases, the store itself.

- Each of its own leases holds for nine tenths of its time, counted from the start of the last good renewal that named
  it, or of the claim. The next renewal comes within a third; it is asked for at once where that would be too late, and
  a claim that is answered after nine tenths (a node that was frozen meanwhile hears of it then) is not worked on.
- Leases of others can be told to have expired only while renewals go through, ours standing for theirs. After an outage
  so long that a live node's lease may have run out in it (two thirds of a lease, since whoever was due to renew when it
  began had that much left), everybody gets one lease to renew or to hand back before anybody is expired. So does
  everybody after a start of the server, which a node that has just come cannot know of otherwise. Without that a node
  would count a crash for each job that the others had in hand.
- A store that was emptied or replaced is not the one whose leases we hold; see `StorageReset`.
"""

from __future__ import annotations

from math import inf

OWN = 0.9  # of a lease
OTHERS = 2 / 3
FRESH = OWN - 1 / 3  # the next renewal comes while it holds


class Trust:
    """Written by the membership actor; all times are monotonic seconds."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._renewed_at = 0.0
        self.own_until = OWN * lease_s  # from then on no renewal vouches for any; read before each attempt
        self._rescues_from = inf  # no renewal has gone through yet
        self.reset: str | None = None  # what is said of a store that was emptied or replaced

    def began(self, now: float) -> None:
        """Renewals begin; nothing is leased yet."""
        self._renewed_at = now
        self.own_until = now + OWN * self._lease_s

    def renewed(self, began: float, up_s: float | None) -> None:
        """A renewal that was sent at `began` went through; the server was up for `up_s`, where that is known."""
        if self._rescues_from == inf:
            self._rescues_from = began
        elif began - self._renewed_at > OTHERS * self._lease_s:
            self._rescues_from = began + self._lease_s
        if up_s is not None and up_s < self._lease_s:
            self._rescues_from = max(self._rescues_from, began + self._lease_s - up_s)
        self._renewed_at = began
        self.own_until = began + OWN * self._lease_s

    def own_since(self, now: float) -> float:
        """Leases that were last confirmed before that moment may be over."""
        return now - OWN * self._lease_s

    def is_trusted(self, since: float, now: float) -> bool:
        """Whether leases of a claim that began at `since` can be relied on."""
        return now - since < OWN * self._lease_s

    def is_fresh(self, since: float, now: float) -> bool:
        """Whether they will be renewed while they hold, without anybody's doing."""
        return now - since < FRESH * self._lease_s

    def is_in_doubt(self, now: float) -> bool:
        """Whether renewals are late."""
        return self._renewed_at < now - self._lease_s / 2

    def rescue_within(self, now: float) -> float:
        """Seconds within which a rescue that is asked for now must have begun; 0: it must not be asked for."""
        if self.reset is not None or now < self._rescues_from:
            return 0.0
        return max(self._renewed_at + OTHERS * self._lease_s - now, 0.0)
