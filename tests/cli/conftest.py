"""A command line in this process, on a store of its own, and jobs in every state to look at."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from callboard.__main__ import main
from callboard.actors.calls import encode_anonymous
from callboard.kernel.clock import SystemClock
from callboard.storage.ids import IdFactory, format_id
from callboard.storage.job import JobState, NewJob
from callboard.storage.ports.store import Store
from callboard.storage.records import ClaimRequest, ErrorRecord, Finish
from callboard.storage.urls import store_of

T = TypeVar("T")
BOOT_ID = b"\x11" * 16
TRACEBACK = 'Traceback (most recent call last):\n  File "service.py", line 3, in send\nValueError: no such user\n'


@dataclass(frozen=True)
class Said:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Cli(Protocol):
    def __call__(self, *args: str) -> Said: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of the test, with none of Callboard's variables set."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("CALLBOARD_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*args: str) -> Said:
        capsys.readouterr()
        code = main(args)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


class OnStore(Protocol):
    def __call__(self, act: Callable[[Store], Awaitable[T]]) -> T: ...


@pytest.fixture
def on_store(folder: Path) -> OnStore:
    """Act on the store that commands mean here."""

    def call(act: Callable[[Store], Awaitable[T]]) -> T:
        async def opened() -> T:
            store = store_of("sqlite:///callboard.db", clock=SystemClock(), disk_reserve_bytes=0)
            await store.open()
            try:
                return await act(store)
            finally:
                await store.close()

        return asyncio.run(opened())

    return call


@pytest.fixture
def jobs(on_store: OnStore) -> dict[str, str]:
    """Five jobs of queue mail, by what became of them: their ids."""
    ids = IdFactory(SystemClock(), os.urandom)

    async def seed(store: Store) -> dict[str, bytes]:
        made = {what: ids.new_id() for what in ("completed", "failed", "executing", "available", "scheduled")}
        for what, job_id in made.items():
            later = SystemClock().wall_ms() + 3_600_000 if what == "scheduled" else None
            name = "count" if what == "available" else "send"
            payload = encode_anonymous(name, (42, what), {"lang": "pt"})
            await store.jobs.insert([NewJob(job_id, name, "mail", payload, run_at=later)])
            if what in ("completed", "failed", "executing"):
                [reply] = await store.jobs.claim([ClaimRequest("mail", 1)], boot_id=BOOT_ID, lease_ms=60_000)
                [claimed] = reply.jobs
                assert claimed.id == job_id
                end = Finish(job_id, claimed.claim_token, "mail", JobState.COMPLETED, claimed.attempt)
                if what == "failed":
                    error = ErrorRecord("ValueError", "no such user", TRACEBACK)
                    end = end._replace(state=JobState.FAILED, reason="exhausted", error=error)
                if what != "executing":
                    assert await store.jobs.finish([end], boot_id=BOOT_ID) == [True]
        return made

    return {what: format_id(job_id) for what, job_id in on_store(seed).items()}
