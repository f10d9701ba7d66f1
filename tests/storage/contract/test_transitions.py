"""Every verb from every state: as `TRANSITIONS` says, or refused with nothing changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from callboard.storage.job import TRANSITIONS, Claimed, JobState, Verb, may
from callboard.storage.records import CancelAnswer
from tests.support.node_hands import NodeHands, in_state
from tests.support.stores import Place

Attempt = Callable[[NodeHands, Place, Claimed, JobState], Awaitable[object]]


async def claim(node: NodeHands, place: Place, claimed: Claimed, state: JobState) -> bool:
    return any(one.id == claimed.id for one in await node.claim())


async def promote(node: NodeHands, place: Place, claimed: Claimed, state: JobState) -> bool:
    """Only a claim promotes; an urgent job takes the one place in it, so that ours stays available."""
    urgent = await node.enqueue(priority=0)
    await place.pass_time(20)
    assert [one.id for one in await node.claim(1)] == [urgent]
    return may(Verb.PROMOTE, state) and await node.state(claimed.id) is JobState.AVAILABLE


async def finish(node: NodeHands, place: Place, claimed: Claimed, state: JobState) -> bool:
    # The other end: the same one again would be a repeat, which is accepted.
    return await node.finish(claimed, JobState.FAILED if state is JobState.COMPLETED else JobState.COMPLETED)


async def retry(node: NodeHands, place: Place, claimed: Claimed, state: JobState) -> bool:
    return await node.retry(claimed)


async def snooze(node: NodeHands, place: Place, claimed: Claimed, state: JobState) -> bool:
    return await node.snooze(claimed)


async def hand_back(node: NodeHands, place: Place, claimed: Claimed, state: JobState) -> bool:
    return await node.hand_back(claimed)


async def rescue(node: NodeHands, place: Place, claimed: Claimed, state: JobState) -> bool:
    await place.pass_time(3600)
    return bool(await node.rescue())


async def cancel(node: NodeHands, place: Place, claimed: Claimed, state: JobState) -> bool:
    return await node.cancel(claimed.id) is CancelAnswer.CANCELLED


async def revive(node: NodeHands, place: Place, claimed: Claimed, state: JobState) -> bool:
    return await node.revive(claimed.id)


async def delete(node: NodeHands, place: Place, claimed: Claimed, state: JobState) -> bool:
    return await node.delete(claimed.id)


ATTEMPTS: dict[Verb, Attempt] = {
    Verb.CLAIM: claim,
    Verb.PROMOTE: promote,
    Verb.FINISH: finish,
    Verb.RETRY: retry,
    Verb.SNOOZE: snooze,
    Verb.HAND_BACK: hand_back,
    Verb.RESCUE: rescue,
    Verb.CANCEL: cancel,
    Verb.REVIVE: revive,
    Verb.DELETE: delete,
}

# A write that its own claim repeats is answered True and changes nothing; so is a second cancel.
REPEATS = {
    (Verb.RETRY, JobState.RETRYABLE),
    (Verb.SNOOZE, JobState.SCHEDULED),
    (Verb.HAND_BACK, JobState.AVAILABLE),
    (Verb.HAND_BACK, JobState.SCHEDULED),
    *((verb, JobState.CANCELLED) for verb in (Verb.RETRY, Verb.SNOOZE, Verb.HAND_BACK, Verb.CANCEL)),
}
EACH = [(verb, state) for verb in Verb for state in JobState]
LEGAL = [(verb, state) for verb, state in EACH if may(verb, state)]
REFUSED = [(verb, state) for verb, state in EACH if not may(verb, state)]


@pytest.mark.parametrize(("verb", "state"), LEGAL)
async def test_a_legal_verb_leads_where_the_table_says(
    node: NodeHands, place: Place, verb: Verb, state: JobState
) -> None:
    claimed = await in_state(node, state)

    assert await ATTEMPTS[verb](node, place, claimed, state)

    [job] = await node.store.jobs.get([claimed.id])
    targets = TRANSITIONS[verb].targets
    assert (job is None) if not targets else (job is not None and job.state in targets)


@pytest.mark.parametrize(("verb", "state"), REFUSED)
async def test_an_illegal_verb_changes_nothing(node: NodeHands, place: Place, verb: Verb, state: JobState) -> None:
    claimed = await in_state(node, state)
    before, failures = await node.job(claimed.id), await node.failures(claimed.id)

    answer = await ATTEMPTS[verb](node, place, claimed, state)

    if verb is Verb.CANCEL and state is JobState.EXECUTING:
        assert (await node.job(claimed.id)).cancel_requested  # the one mark that an executing job takes
    else:
        # Promoting lets time pass, which may date the lease back.
        after = await node.job(claimed.id)
        assert replace(after, lease_until=before.lease_until) == before
    assert await node.failures(claimed.id) == failures
    assert answer is False or (verb, state) in REPEATS


FENCED = [verb for verb in Verb if TRANSITIONS[verb].is_fenced and verb is not Verb.RESCUE]


@pytest.mark.parametrize("verb", FENCED)
async def test_a_fenced_verb_needs_token_and_boot_id(
    node: NodeHands, other_node: NodeHands, place: Place, verb: Verb
) -> None:
    claimed = await node.start()
    before = await node.observe()

    for token in (0, claimed.claim_token - 1, claimed.claim_token + 1, 2**40):
        stale = claimed._replace(claim_token=token)
        assert await ATTEMPTS[verb](node, place, stale, JobState.EXECUTING) is False
    assert await ATTEMPTS[verb](other_node, place, claimed, JobState.EXECUTING) is False

    assert await node.observe() == before


WHERE_CANCELLED = [Verb.RETRY, Verb.SNOOZE, Verb.HAND_BACK, Verb.RESCUE]


@pytest.mark.parametrize("verb", WHERE_CANCELLED)
async def test_no_verb_puts_a_job_back_in_line_that_was_asked_to_stop(
    node: NodeHands, place: Place, verb: Verb
) -> None:
    claimed = await node.start()
    await node.cancel(claimed.id)

    await ATTEMPTS[verb](node, place, claimed, JobState.EXECUTING)

    assert await node.state(claimed.id) is JobState.CANCELLED
    assert JobState.CANCELLED in TRANSITIONS[verb].targets
