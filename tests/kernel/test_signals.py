"""The first SIGTERM or SIGINT drains, those after it interrupt."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from callboard.kernel.signals import HANDLED, handle_signals
from tests.support.eventually import eventually

pytestmark = [
    pytest.mark.both_loops,
    pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process there"),
]


@pytest.mark.parametrize(
    ("first", "second"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)], ids=str
)
async def test_the_first_signal_drains_and_the_second_interrupts(first: signal.Signals, second: signal.Signals) -> None:
    calls: list[str] = []
    with handle_signals(drain=lambda: calls.append("drain"), interrupt=lambda: calls.append("interrupt")):
        os.kill(os.getpid(), first)
        await eventually(lambda: calls == ["drain"])

        os.kill(os.getpid(), second)
        await eventually(lambda: calls == ["drain", "interrupt"])


async def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in HANDLED]

    with handle_signals(drain=lambda: None, interrupt=lambda: None):
        assert [signal.getsignal(number) for number in HANDLED] != before

    assert [signal.getsignal(number) for number in HANDLED] == before


async def test_they_come_back_when_the_block_raises() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(KeyError), handle_signals(drain=lambda: None, interrupt=lambda: None):
        raise KeyError

    assert signal.getsignal(signal.SIGTERM) == before
