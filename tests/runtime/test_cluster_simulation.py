"""Five nodes in virtual time over a bad network: at most one holder of a term, no write with an old one, a leader soon
after the healing. More seeds: `python bench/simulate.py --seeds 200`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from callboard.actors.tenure import Tenure
from callboard.kernel.clock import Clock
from callboard.storage.memory.board import Board
from callboard.storage.role import RoleRow, Term
from callboard.testing import simulate
from harness.cluster_storm import FAILOVER_S, FATES, ClusterStorm, Verdict, again
from tests.support.apart import run_apart

SEEDS = range(40)
MUTANT_SEEDS = range(20)  # at most; the first that finds it ends the search


class TestCluster:
    """What holds, whatever happens."""

    @pytest.mark.parametrize("first", SEEDS[::10])
    def test_no_term_has_two_holders_and_no_write_an_old_term(self, first: int) -> None:
        verdicts = [_judged(seed) for seed in SEEDS[first : first + 10]]

        # Else it would hold for want of trouble.
        assert set(sum((verdict.fates for verdict in verdicts), Counter())) == set(FATES)
        assert sum(verdict.terms for verdict in verdicts) > 20
        assert sum(verdict.accepted for verdict in verdicts) > 100
        assert sum(verdict.refused for verdict in verdicts) > 1
        assert all(verdict.failover_s <= FAILOVER_S for verdict in verdicts)

    def test_clocks_that_run_fast_or_slow_change_nothing(self) -> None:
        for seed in SEEDS[:5]:
            _judged(seed, drift=0.04)

    def test_processes_and_hash_seeds_do_not_matter(self) -> None:
        lines = [run_apart("harness.cluster_storm:ClusterStorm(7).run", hash_seed=hash_seed) for hash_seed in "01"]

        assert re.fullmatch(r"SIM seed=7 events=\d+ virtual_s=\d+\.\d{3} hash=[0-9a-f]{64}\n", lines[0])
        assert lines[0] == lines[1]


class TestTheCheck:
    """It finds each protection that is taken away."""

    def test_a_fence_that_lets_everything_through(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Board, "check", lambda board, fence, now: None)

        assert _found(lambda line: "accepted under" in line)

    def test_trust_that_does_not_end_with_the_lease(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = Tenure.__init__

        def make(tenure: Tenure, term: Term, clock: Clock, trusted_until: float) -> None:
            made(tenure, term, clock, trusted_until + 1e6)

        monkeypatch.setattr(Tenure, "__init__", make)

        assert _found(lambda line: "something was done in" in line)

    def test_terms_that_are_not_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        granted = Board.campaign

        def campaign(board: Board, name: str, holder: bytes, now: int, lease_ms: int) -> RoleRow:
            role = board.roles.get(name)
            if role is not None and role.lease_until <= now:
                role.number -= 1
            return granted(board, name, holder, now, lease_ms)

        monkeypatch.setattr(Board, "campaign", campaign)

        assert _found(lambda line: "roles.campaign" in line)

    def test_a_role_that_is_taken_from_its_holder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        granted = Board.campaign

        def campaign(board: Board, name: str, holder: bytes, now: int, lease_ms: int) -> RoleRow:
            role = board.roles.get(name)
            if role is not None and role.holder != holder:
                role.lease_until = min(role.lease_until, now + lease_ms // 4)  # almost over: good enough to take
                role.lease_until = now if role.lease_until - now < lease_ms // 8 else role.lease_until
            return granted(board, name, holder, now, lease_ms)

        monkeypatch.setattr(Board, "campaign", campaign)

        assert _found(lambda line: "was granted while" in line)


def _judged(seed: int, *, drift: float = 0.0) -> Verdict:
    verdict = simulate(ClusterStorm(seed, drift=drift).run, seed=seed).value
    assert verdict.wrong == [], again(seed, drift)
    return verdict


def _found(is_meant: Callable[[str], bool]) -> bool:
    """Whether some seed tells such a line."""
    runs = (simulate(ClusterStorm(seed).run, seed=seed).value for seed in MUTANT_SEEDS)
    return any(is_meant(line) for run in runs for line in run.wrong)
