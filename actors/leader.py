"""Leaders: who does what only one node may do at a time. Every node that works has a leader actor for each role.

The model. A role is a lease in the store: holder, term, end. A leader campaigns: it asks for the lease, and gets it
where nobody has it. With the grant comes a term, a number greater than that of every grant before. While it holds the
role it renews the lease, and runs the role's duty: children of its own supervisor, started at the grant and stopped at
the end. Each term has its own children under its own path, `roles/<role>/term-7/...`, so that what is left of an old
one is never taken for the new.

    follower --campaign: granted--> leader --resigned, lost, or in doubt--> stopping --the duty has ended--> follower

What holds, whatever happens:

1. At most one term of a role runs, by the store's clock. That is the store's promise (`storage/ports/roles.py`).
2. A leader's trust in its term ends before the lease does: at nine tenths of the lease, counted on the monotonic clock
   from the *start* of the call that last confirmed it. How long the answer took, or the process stood still, can only
   make that earlier in the lease, never later.
3. Trust is looked at in the step that writes (`Tenure.fence`), not by a timer alone: a process that was stopped for an
   hour and continued finds its time gone before it writes, in whatever order its timers fire.
4. Every write because of a role carries its term, and the store refuses one that does not run. So 2 and 3 save work
   and spare the other leader company; being right rests on 1 and 4.
5. A duty ends before its role is given away: resigning comes after the duty has stopped, and a doubt stops it within
   the tenth of a lease that is left. Duties which do not heed their cancellation are left behind after a second more,
   with a fence that lets nothing through.
6. Nobody is half a leader. A duty that does not start, or spends its restarts, gives the role back, and this node
   stays away from it for a pause that grows: another may do better.

How long a role is without a holder. A node that stops resigns, and the wake-up "roles" lets all others campaign at
once. One that dies leaves its lease to run out; whoever was refused knows when that is, and campaigns just then. The
plain campaigns, every third of a lease, are for leases that were cut short with the wake-up lost. So a role is taken
again within a lease and a third, in the worst case, and mostly within a lease.

When a part fails:

- The store does not answer. A renewal is tried again every fifteenth of a lease; when trust ends, the duty is stopped
  and the log says so. The node goes on otherwise. Once the store answers, everybody campaigns as before.
- The answer to a campaign is lost. The next one finds the role held by this very node, in a term that has not begun
  here, and begins it, trusting only what is left of the lease.
- The answer to a renewal is lost: the next one renews again. The term is the same, so nothing can go wrong.
- The answer to a resignation is lost, or the store is away at that moment: the next campaign finds the role held by
  this node in a term that *has* begun here before. It is not begun again but resigned; the next has a new number.
- The leader actor crashes. Its supervisor is rest_for_one and the duty stands to its right, so the duty goes with it.
- The process dies, or its machine: 1 and the lease. It stands still and goes on: 2, 3 and 4.
- The store is emptied or restored: no number from before means anything. The node steps down and campaigns no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..kernel.actor import Actor
from ..kernel.clock import Timer
from ..kernel.errors import CallboardError
from ..kernel.exits import Down, Shutdown
from ..kernel.intensity import Backoff
from ..storage.errors import StorageReset
from ..storage.messages import Committed
from ..storage.ports.roles import RoleStore
from ..storage.records import Wakeup
from ..storage.role import RoleRow, Term
from .ballot import Answered, Asked, Ballot
from .duty import WITHIN_S, Duty, DutyRoom, DutyStarted, DutyStopped
from .node import NodeParts
from .side_tasks import Broken, SideTasks
from .tenure import TRUSTED, Seat, Tenure
from .wakeups import Subscribe

LONGEST_PAUSE_S = 60.0  # before a node whose duty failed tries again


@dataclass(frozen=True, slots=True)
class Campaign:
    """Try to get the role: the time has come."""


@dataclass(frozen=True, slots=True)
class Vacant:
    """Try to get the role: somebody resigned."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Renew the lease."""


@dataclass(frozen=True, slots=True)
class CheckTrust:
    """Look whether the term can still be trusted."""


class Leader(Actor):
    """Campaigns for one role and does its duty while it is held. Stands left of the duty, below a supervisor alone."""

    def __init__(self, role: str, roles: RoleStore, *, node: NodeParts, lease_s: float, duty: Duty) -> None:
        self._role = role
        self._roles = roles
        self._node = node
        self._lease_s = lease_s
        self._every_s = lease_s / 3
        self._hurry_s = lease_s * (1 - TRUSTED) / 2  # for a duty to end in order before it is cancelled
        self._duty = duty
        self._seat = node.seats.setdefault(role, Seat())
        self._tenure: Tenure | None = None
        self._is_stopping_duty = False
        self._held: Term | None = None  # what the store may still take for ours
        self._is_to_resign = False
        self._is_told_vacant = False  # while a call was under way
        self._timer: Timer | None = None  # of the next campaign or renewal
        self._trust_timer: Timer | None = None
        self._pauses = Backoff(lease_s, 2.0, max(lease_s, LONGEST_PAUSE_S))
        self._failures = 0  # of the duty here, in a row
        self._on_duty_since: float | None = None
        self._paused_until = 0.0
        self._is_in_trouble = False  # and has said so

    async def started(self) -> None:
        self._clock = self.context.clock
        self._me = self.context.ref()
        self._wakeups = self.context.ref("wakeups")
        self._tasks = SideTasks(self._me)
        self._ballot = Ballot(
            self._role,
            self._roles,
            holder=self._node.boot_id,
            lease_s=self._lease_s,
            leader=self._me,
            clock=self._clock,
            tasks=self._tasks,
        )
        home = self.context.path.rpartition("/")[0]
        parent, clock = self.context.parent, self._clock
        self._room = DutyRoom(self._duty, parent=parent, path=home, leader=self._me, clock=clock, tasks=self._tasks)
        await self._wakeups.tell(Subscribe("roles", self._role, self._me, Vacant()))
        self._campaign()

    async def receive(self, message: Any) -> None:
        match message:
            case Campaign():
                self._campaign()
            case Vacant():
                self._is_told_vacant = self._ballot.is_busy
                self._campaign()
            case Renew():
                self._renew()
            case CheckTrust():
                self._check_trust()
            case Answered():
                self._answered(message)
            case DutyStarted(tenure=tenure, problem=problem) if tenure is self._tenure:
                self._duty_started(tenure, problem)
            case Down(ref=ref, exit=exit) if self._tenure is not None and ref.path == self._room.path_of(self._tenure):
                if not isinstance(exit, Shutdown):  # that is our own supervisor's doing, which stops us next
                    self._duty_failed(f"it ended: {exit}")
            case DutyStopped(tenure=tenure) if tenure is self._tenure:
                self._tenure, self._is_stopping_duty = None, False
                self._go_on()
            case Broken(error=error):
                raise error

    async def stopping(self, exit: object) -> None:
        """End the duty, then the lease, so that another begins at once."""
        tenure, self._tenure = self._tenure, None
        if tenure is not None:
            left_s = max(tenure.trusted_until - self._clock.monotonic(), 0.0)
            self._leave(tenure)
            await self._room.stopped(tenure, left_s + self._hurry_s)
        in_trouble = self._is_in_trouble
        if self._node.trust.reset is None and await self._ballot.last_words(self._held, in_trouble=in_trouble):
            self._announce_vacant()
        self._tasks.cancel()

    # Getting the role.

    def _campaign(self) -> None:
        if self._tenure is not None or self._ballot.is_busy or self._node.trust.reset is not None:
            return
        now = self._clock.monotonic()
        if self._node.is_draining:
            self._again_in(self._every_s, Campaign())
        elif now < self._paused_until:
            self._again_in(self._paused_until - now, Campaign())
        else:
            self._is_told_vacant = False
            self._ballot.campaign()

    def _campaigned(self, began: float, row: RoleRow) -> None:
        term = self._ours(row)
        self._seat.holder = row.holder
        if term is not None and term.number > self._seat.last_number:
            self._held = term
            self._begin(term, began + row.expires_in_ms / 1000 - self._lease_s * (1 - TRUSTED))
            return
        self._seat.changed()
        if term is not None:
            self._held, self._is_to_resign = term, True  # it began here before, and ended: see the essay
            self._go_on()
        elif self._is_told_vacant:
            self._campaign()
        else:
            # Somebody else's: again just when that lease ends, should it not be renewed before.
            ends_s = row.expires_in_ms / 1000 + self._lease_s / 40 * self._node.rng.uniform(0.1, 1.0)
            self._again_in(min(ends_s, self._pause_s()), Campaign())

    def _begin(self, term: Term, trusted_until: float) -> None:
        self._tenure = self._seat.tenure = tenure = Tenure(term, self._clock, trusted_until)
        self._seat.last_number = term.number
        self._node.log.info("role is held here", role=self._role, term=term.number)
        self._room.start(tenure)
        self._again_in(min(self._every_s, max(trusted_until - self._clock.monotonic(), 0.0) / 2), Renew())
        self._watch_trust(tenure)

    def _duty_started(self, tenure: Tenure, problem: str | None) -> None:
        if self._is_stopping_duty:
            return
        if problem is not None:
            self._duty_failed(problem)
            return
        self.context.watch(self.context.ref(self._room.path_of(tenure)))
        self._on_duty_since = self._clock.monotonic()
        self._seat.is_on_duty, self._seat.problem = True, None
        self._seat.changed()

    # Keeping it.

    def _renew(self) -> None:
        tenure = self._tenure
        if tenure is None or self._is_stopping_duty:
            return
        if self._node.trust.reset is not None:
            self._step_down("the store is another one, in which nothing is held; the duty stops")
        elif not self._ballot.is_busy:
            self._ballot.renew(tenure.term)

    def _renewed(self, began: float, *, was_renewed: bool) -> None:
        tenure = self._tenure
        if tenure is None or self._is_stopping_duty:
            self._go_on()
        elif was_renewed:
            tenure.renewed(began + self._lease_s * TRUSTED)
            self._again_in(began + self._every_s - self._clock.monotonic(), Renew())
        else:
            self._held = None
            self._step_down("role was lost; its duty stops")

    def _watch_trust(self, tenure: Tenure) -> None:
        if self._trust_timer is not None:
            self._trust_timer.cancel()
        left_s = max(tenure.trusted_until - self._clock.monotonic(), 0.0)
        self._trust_timer = self.context.send_after(left_s, CheckTrust())

    def _check_trust(self) -> None:
        tenure = self._tenure
        if tenure is None or self._is_stopping_duty:
            return
        if tenure.is_trusted:
            self._watch_trust(tenure)
        else:
            self._step_down("role could not be renewed in time; its duty stops")

    # Giving it up.

    def _duty_failed(self, why: str) -> None:
        if self._is_stopping_duty:
            return
        now = self._clock.monotonic()
        if self._on_duty_since is not None and now - self._on_duty_since > max(self._lease_s, WITHIN_S):
            self._failures = 0
        self._failures += 1
        self._paused_until = now + self._pauses.delay_s(self._failures, self._node.rng)
        self._seat.problem = why
        self._is_to_resign = True
        self._step_down(f"role is given back, since its duty cannot be done here: {why}")

    def _step_down(self, why: str) -> None:
        """Let nothing more be done in this term, and end what still runs within what is left of the lease."""
        tenure = self._tenure
        assert tenure is not None
        self._node.log.error(why, role=self._role, term=tenure.term.number)
        self._leave(tenure)
        self._is_stopping_duty = True
        self._room.stop(tenure, self._hurry_s)

    def _leave(self, tenure: Tenure) -> None:
        tenure.end()
        self._on_duty_since = None
        self._seat.tenure, self._seat.is_on_duty, self._seat.holder = None, False, None
        self._seat.changed()

    def _go_on(self) -> None:
        """Nothing is done here because of the role: give it away if it is ours, else try to get it."""
        if self._tenure is not None or self._ballot.is_busy:
            return
        if self._is_to_resign and self._held is not None:
            self._ballot.resign(self._held)
        else:
            self._campaign()

    def _announce_vacant(self) -> None:
        self._wakeups.try_tell(Committed({Wakeup("roles", self._role)}))

    # What the store says.

    def _answered(self, message: Answered) -> None:
        self._ballot.handled()
        if message.error is not None:
            self._unanswered(message.asked, message.error)
            return
        if self._is_in_trouble:
            self._is_in_trouble = False
            self._node.log.info("the store answers again for a role", role=self._role)
        if message.row is not None:
            self._campaigned(message.began, message.row)
        elif message.asked == "renew":
            self._renewed(message.began, was_renewed=message.was_ours)
        else:
            self._held, self._is_to_resign = None, False
            self._announce_vacant()
            self._campaign()

    def _unanswered(self, asked: Asked, error: CallboardError) -> None:
        if isinstance(error, StorageReset):
            self._node.store_was_reset(str(error))
        elif not self._is_in_trouble:
            self._is_in_trouble = True
            self._node.log.warning("the store does not answer for a role", role=self._role, error=str(error))
        if asked == "resign":
            self._held, self._is_to_resign = None, False  # a campaign finds it, if it is still ours
        if self._tenure is None and asked == "renew":
            self._go_on()
        elif self._tenure is None:
            self._again_in(self._pause_s(), Campaign())
        elif not self._is_stopping_duty:
            self._again_in(self._lease_s / 15, Renew())

    def _ours(self, row: RoleRow) -> Term | None:
        return row.term if row.holder == self._node.boot_id else None

    def _pause_s(self) -> float:
        return self._every_s * self._node.rng.uniform(0.8, 1.0)

    def _again_in(self, delay_s: float, message: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.context.send_after(max(delay_s, 0.0), message)
