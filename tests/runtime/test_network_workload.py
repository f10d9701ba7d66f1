"""Jobs over a network that delays, loses and cuts: none is lost, each ends once, and under its latest claim."""

from __future__ import annotations

from collections import Counter

import pytest

from callboard.storage.memory.board import Board
from callboard.testing import simulate
from tests.support.network_workload import FATES, NetworkWorkload
from tests.support.workload import problems_of

SEEDS = range(30)
CALM_S = 60.0  # virtual; within it everything that had been started ends, retries and their pauses too


class TestInvariants:
    """A small random workload over many seeds; all that a seed met stands in the line that it prints."""

    def test_every_job_ends_once_and_as_it_should(self, caplog: pytest.LogCaptureFixture) -> None:
        fates: Counter[str] = Counter()
        happened: Counter[str] = Counter()
        for seed in SEEDS:
            left = simulate(NetworkWorkload(seed).storm, seed=seed).value
            assert left.wrong + problems_of(left.outcome, crashes=True) == [], f"seed {seed}"
            assert left.calm_s < CALM_S, f"seed {seed}"
            fates += left.fates
            happened += Counter(
                accepted=left.accepted,
                refused=left.refused,
                repeated=left.repeated,
                lost=left.lost,
                late=left.came_late,
            )

        assert "its slot is set aside" not in caplog.text  # every handler heeds its cancellation

        # Else it would hold for want of trouble.
        assert set(fates) == set(FATES)
        assert min(happened.values()) > 5
        assert len(happened) == 5

    def test_clocks_that_run_fast_or_slow_do_no_harm(self) -> None:
        for seed in SEEDS[:10]:
            left = simulate(NetworkWorkload(seed, drift=0.04).storm, seed=seed).value
            assert left.wrong + problems_of(left.outcome, crashes=True) == [], f"seed {seed}"
            assert left.calm_s < CALM_S, f"seed {seed}"

    def test_without_the_claim_token_it_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The check finds writes that come too late, when the store lets them through."""

        def leased(board: Board, job_id: bytes, claim_token: int, boot_id: bytes) -> object:
            return board.running.get(job_id)

        monkeypatch.setattr(Board, "leased", leased)

        wrong = [
            problem for seed in range(10) for problem in simulate(NetworkWorkload(seed).storm, seed=seed).value.wrong
        ]

        assert any("accepted under" in problem for problem in wrong)
