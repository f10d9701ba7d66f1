"""Bad input: a disk without room. New jobs are refused, those that run go on and finish, and it recovers by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard import Runtime, Settings
from callboard.storage.errors import Full
from callboard.storage.sqlite.host import Host
from tests.support.eventually import eventually

from .conftest import refused, rows

pytestmark = pytest.mark.anyio

MIB = 1 << 20
WAIT_S = 20.0


async def test_disk_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 64 * MIB
    monkeypatch.setattr(Host, "room_bytes", lambda self, path: room)
    runtime = Runtime("sqlite:///jobs.db", settings=Settings(disk_reserve="16MiB"))

    @runtime.job
    async def send(user: int) -> int:
        return user

    async with runtime:
        handles = await runtime.enqueue_many([send.bind(n) for n in range(20)])
        room = 3 * MIB

        async def is_refused() -> bool:
            try:
                await send.enqueue(99)
            except Full:
                return True
            return False

        await eventually(is_refused)
        before = rows(folder / "jobs.db")
        with refused(Full, by="takes no new jobs: 3 MiB are left, 16 MiB are kept for completions; jobs still run"):
            await runtime.enqueue_many([send.bind(n) for n in range(3)])
        assert rows(folder / "jobs.db") == before

        async with runtime.work():
            assert [await handle.result(timeout=WAIT_S) for handle in handles] == list(range(20))
            room = 64 * MIB

            async def is_taken() -> bool:
                return not await is_refused()

            await eventually(is_taken)
            assert await (await send.enqueue(7)).result(timeout=WAIT_S) == 7


def test_disk_full_at_the_command_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the user's mistake: it could have worked, so the exit code is 1."""
    from callboard.__main__ import main

    assert main(["enqueue", "send", "--store", "sqlite:///jobs.db"]) == 0
    capsys.readouterr()
    monkeypatch.setattr(Host, "room_bytes", lambda self, path: MIB)

    assert main(["enqueue", "send", "--store", "sqlite:///jobs.db"]) == 1

    said = capsys.readouterr()
    assert said.out == ""
    assert "takes no new jobs: 1 MiB are left" in said.err
    assert said.err.count("\n") == 1
    assert rows(folder / "jobs.db") == 1
