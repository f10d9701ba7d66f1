"""When a node may rely on its leases, and when it may tell that the leases of others are over."""

from __future__ import annotations

import pytest

from callboard.actors.trust import Trust

LEASE_S = 30.0


@pytest.fixture
def trust() -> Trust:
    trust = Trust(LEASE_S)
    trust.began(100.0)
    return trust


def test_own_leases_are_trusted_for_nine_tenths_from_the_start_of_the_renewal(trust: Trust) -> None:
    trust.renewed(110.0, None)

    assert trust.own_until == pytest.approx(137.0)
    assert trust.own_since(137.1) == pytest.approx(110.1)


def test_a_claim_holds_for_as_long_and_is_fresh_while_the_next_renewal_comes_in_time(trust: Trust) -> None:
    assert trust.is_fresh(110.0, 126.9)
    assert not trust.is_fresh(110.0, 127.1)
    assert trust.is_trusted(110.0, 136.9)
    assert not trust.is_trusted(110.0, 137.1)


def test_a_renewal_that_is_late_is_in_doubt(trust: Trust) -> None:
    assert not trust.is_in_doubt(115.0)
    assert trust.is_in_doubt(115.1)


def test_nobody_is_expired_before_the_first_renewal(trust: Trust) -> None:
    assert trust.rescue_within(100.0) == 0.0

    trust.renewed(100.5, None)

    assert trust.rescue_within(101.0) == pytest.approx(19.5)


def test_a_node_that_is_slow_to_start_has_seen_no_outage(trust: Trust) -> None:
    trust.renewed(125.0, None)

    assert trust.rescue_within(125.0) == pytest.approx(20.0)


def test_nobody_is_expired_while_renewals_fail(trust: Trust) -> None:
    trust.renewed(110.0, None)

    assert trust.rescue_within(129.9) == pytest.approx(0.1)
    assert trust.rescue_within(130.0) == 0.0


def test_a_short_outage_delays_no_rescue(trust: Trust) -> None:
    """Whoever was due to renew when it began had two thirds of a lease left."""
    trust.renewed(110.0, None)
    trust.renewed(130.0, None)

    assert trust.rescue_within(130.0) == pytest.approx(20.0)


def test_after_a_long_outage_everybody_gets_a_lease_to_renew(trust: Trust) -> None:
    trust.renewed(110.0, None)
    trust.renewed(131.0, None)  # 21 s later
    for beat in (141.0, 151.0, 161.0):
        assert trust.rescue_within(beat - 0.1) == 0.0
        trust.renewed(beat, None)

    assert trust.rescue_within(161.0) == pytest.approx(20.0)


@pytest.mark.parametrize(("up_s", "from_s"), [(0.0, 130.5), (10.0, 120.5), (30.0, 100.5), (None, 100.5)])
def test_a_server_that_has_just_started_gives_everybody_a_lease(
    trust: Trust, up_s: float | None, from_s: float
) -> None:
    """A node that has just come cannot have seen the outage before it."""
    trust.renewed(100.5, up_s)
    trust.renewed(110.5, None if up_s is None else up_s + 10)
    trust.renewed(120.4, None if up_s is None else up_s + 20)
    trust.renewed(130.4, None if up_s is None else up_s + 30)

    assert (trust.rescue_within(130.45) > 0) == (from_s <= 130.45)
    assert trust.rescue_within(130.5) > 0


def test_nobody_is_expired_in_a_store_that_was_reset(trust: Trust) -> None:
    trust.renewed(110.0, None)
    trust.reset = "storage_reset"

    assert trust.rescue_within(111.0) == 0.0
